import assert from "node:assert/strict";
import { test } from "node:test";
import { slots } from "../src/lib/slots.ts";

test("a row that stays is drawn by the element that drew it, one that came by one that is free", () => {
  const first = slots(["a", "b", "c"], new Map());
  assert.deepEqual([...first], [["a", 0], ["b", 1], ["c", 2]]);
  const second = slots(["b", "c", "d"], first);
  assert.deepEqual([second.get("b"), second.get("c"), second.get("d")], [1, 2, 0]);
});

test("no two rows are drawn by one element, and there are no more elements than rows need", () => {
  let old: ReadonlyMap<string, number> = new Map();
  let at = 0;
  for (let turn = 0; turn < 500; turn += 1) {
    at = Math.max(0, at + ((turn * 7919) % 41) - 19);
    const count = 20 + ((turn * 31) % 9);
    const keys = Array.from({ length: count }, (_, i) => `${at + i}`);
    const now = slots(keys, old);
    assert.deepEqual([...now.keys()].sort(), [...keys].sort());
    assert.equal(new Set(now.values()).size, count);
    assert.ok(Math.max(...now.values()) < 28 + 1, `${Math.max(...now.values())}`);
    for (const key of keys) if (old.has(key)) assert.equal(now.get(key), old.get(key));
    old = now;
  }
});
