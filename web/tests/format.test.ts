import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, bytes, num, plain, short, span } from "../src/lib/format.ts";

test("numbers have four significant digits, and those that need fewer are as they are", () => {
  const cases: [number, string][] = [
    [0.5, "0.5"], [0.50001, "0.5000"], [0.123456, "0.1235"], [123.456, "123.5"], [12345.6, "12346"], [3, "3"], [-3, "-3"], [1234567, "1234567"],
    [0.001, "0.001"], [0.00123456, "0.001235"], [0.000123456, "1.235e-4"], [1e-5, "1e-5"], [4.5e-5, "4.5e-5"], [12345600, "12345600"],
    [9.99996, "10.00"], [0.1 + 0.2, "0.3000"], [1.5e12, "1.5e12"], [0, "0"], [-0.25, "-0.25"],
  ];
  for (const [value, text] of cases) assert.equal(short(value), text, String(value));
});

test("what is no number is said", () => {
  assert.deepEqual([NaN, Infinity, -Infinity].map(short), ["NaN", "∞", "-∞"]);
  assert.deepEqual(["NaN", "Infinity", "-Infinity", "x", null, 2].map(num).map(String), ["NaN", "Infinity", "-Infinity", "null", "null", "2"]);
  assert.equal(plain([1, "a"]), '[1,"a"]');
});

test("short never loses more than half of the fourth digit", () => {
  let seed = 1;
  const draw = (): number => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let i = 0; i < 5000; i += 1) {
    const value = (draw() - 0.5) * 10 ** (draw() * 24 - 12);
    assert.ok(Math.abs(Number(short(value)) - value) <= 0.0005001 * Math.abs(value), `${value} became ${short(value)}`);
  }
});

test("times and sizes", () => {
  assert.deepEqual([0.0123, 4.26, 48, 59.7, 200, 3600, 7500, 86400 * 3 + 7200].map(span), ["12 ms", "4.3 s", "48 s", "1 min 00 s", "3 min 20 s", "1 h 00 min", "2 h 05 min", "3 d 2 h"]);
  assert.deepEqual([[100, 105], [0, 59], [0, 3600], [0, 86400 * 3], [200, 0]].map(([t, now]) => ago(t as number, now as number)), ["just now", "59 s ago", "1 h ago", "3 d ago", "in 3 min"]);
  assert.deepEqual([812, 999, 1000, 1234567, 25e9].map(bytes), ["812 B", "999 B", "1.0 kB", "1.2 MB", "25 GB"]);
});
