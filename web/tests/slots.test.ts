import assert from "node:assert/strict";
import { test } from "node:test";
import { type Slots, slots } from "../src/lib/slots.ts";

/** Rows by name from a place on; `?`: not here yet. */
const rows = (names: string, from = 0) => [...names].map((name, i) => ({ name: name === "?" ? null : name, index: from + i }));
const NONE: Slots = new Map();

test("a row that stays is drawn by the element that drew it, one that came by one that is free", () => {
  const first = slots(rows("abc"), NONE, true);
  assert.deepEqual([...first], [["a", 0], ["b", 1], ["c", 2]]);
  assert.deepEqual([...slots(rows("bcd", 1), first, true)], [["b", 1], ["c", 2], ["d", 0]]);
});

test("at rest no element of a row that left draws one that came", () => {
  let old = slots(rows("abc"), NONE, false);
  for (const names of ["dab", "eda", "fed"]) {
    const now = slots(rows(names), old, false);
    assert.ok(![...old.values()].includes(now.get(names[0] as string) as number));
    for (const name of names.slice(1)) assert.equal(now.get(name), old.get(name));
    assert.ok(Math.max(...now.values()) <= 3);
    old = now;
  }
});

test("what was not here yet is drawn by the element that held its place, wherever it comes from", () => {
  for (const isReused of [true, false]) {
    const coming = slots(rows("ab??", 4), slots(rows("xyab", 2), NONE, true), isReused);
    const here = slots(rows("abcd", 4), coming, isReused);
    assert.deepEqual([here.get("c"), here.get("d")], [coming.get(6), coming.get(7)]);
    const moved = slots(rows("nabc", 4), coming, isReused); // one came above meanwhile
    assert.deepEqual([moved.get("a"), moved.get("b"), moved.get("c")], [coming.get("a"), coming.get("b"), coming.get(7)]);
    assert.equal(new Set(moved.values()).size, 4);
  }
});

test("no two rows are drawn by one element, and there are no more elements than rows need", () => {
  let old = NONE;
  let at = 0;
  for (let turn = 0; turn < 500; turn += 1) {
    at = Math.max(0, at + ((turn * 7919) % 41) - 19);
    const count = 20 + ((turn * 31) % 9);
    const shown = Array.from({ length: count }, (_, i) => ({ name: (at + i + turn) % 5 ? `row ${at + i}` : null, index: at + i + (turn % 2) }));
    const now = slots(shown, old, turn % 3 > 0);
    assert.equal(now.size, count);
    assert.equal(new Set(now.values()).size, count);
    assert.ok(Math.max(...now.values()) < 2 * 28, `${Math.max(...now.values())}`);
    for (const { name } of shown) if (name !== null && old.has(name)) assert.equal(now.get(name), old.get(name));
    old = now;
  }
});
