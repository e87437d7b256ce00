import assert from "node:assert/strict";
import { test } from "node:test";
import { slots } from "../src/lib/slots.ts";

test("a row that stays is drawn by the element that drew it, one that came by one that is free", () => {
  const first = slots(["a", "b", "c"], new Map(), true);
  assert.deepEqual([...first], [["a", 0], ["b", 1], ["c", 2]]);
  const second = slots(["b", "c", "d"], first, true);
  assert.deepEqual([second.get("b"), second.get("c"), second.get("d")], [1, 2, 0]);
});

test("at rest no element of a row that left draws one that came", () => {
  let old = slots(["a", "b", "c"], new Map(), false);
  for (const came of ["d", "e", "f"]) {
    const keys = [came, ...[...old.keys()].slice(0, 2)];
    const now = slots(keys, old, false);
    assert.ok(![...old.values()].includes(now.get(came) as number));
    for (const key of keys.slice(1)) assert.equal(now.get(key), old.get(key));
    assert.ok(Math.max(...now.values()) <= 3);
    old = now;
  }
});

test("no two rows are drawn by one element, and there are no more elements than rows need", () => {
  let old: ReadonlyMap<string, number> = new Map();
  let at = 0;
  for (let turn = 0; turn < 500; turn += 1) {
    at = Math.max(0, at + ((turn * 7919) % 41) - 19);
    const count = 20 + ((turn * 31) % 9);
    const keys = Array.from({ length: count }, (_, i) => `${at + i}`);
    const isReused = turn % 3 > 0;
    const now = slots(keys, old, isReused);
    assert.deepEqual([...now.keys()].sort(), [...keys].sort());
    assert.equal(new Set(now.values()).size, count);
    assert.ok(Math.max(...now.values()) < 2 * 28, `${Math.max(...now.values())}`);
    for (const key of keys) if (old.has(key)) assert.equal(now.get(key), old.get(key));
    old = now;
  }
});
