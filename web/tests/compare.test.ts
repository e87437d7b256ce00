import assert from "node:assert/strict";
import { test } from "node:test";
import { choose, MOST_CHOSEN } from "../src/lib/chosen.ts";
import { countsEpochs, dashOf, differingFirst, drawnOf, filled, near, overEpochs, regret, sameAs } from "../src/lib/compare.ts";
import { sparkPath } from "../src/lib/spark.ts";
import { tally } from "../src/lib/tags.ts";

test("rows are chosen in their order, once, and no more than there is room for", () => {
  assert.deepEqual(choose(["a"], ["b", "a", "c"], true), ["a", "b", "c"]);
  assert.deepEqual(choose(["a", "b", "c"], ["a", "x", "c"], false), ["b"]);
  assert.equal(choose([], Array.from({ length: 2000 }, (_, i) => String(i)), true).length, MOST_CHOSEN);
});

test("lines of one colour differ in their strokes", () => {
  const looks = Array.from({ length: 20 }, (_, i) => `${i % 8} ${dashOf(i)}`);
  assert.equal(new Set(looks).size, 20);
});

test("what differs comes first, the rest in its order", () => {
  const rows = [{ key: "a", differs: false }, { key: "b", differs: true }, { key: "c", differs: false }, { key: "d", differs: true }];
  assert.deepEqual(differingFirst(rows, false).map((row) => row.key), ["b", "d", "a", "c"]);
  assert.deepEqual(differingFirst(rows, true).map((row) => row.key), ["b", "d"]);
});

test("steps are laid over epochs", () => {
  const epochs = { x: [0, 10, 20], y: [0, 1, 2] };
  assert.deepEqual(overEpochs({ x: [0, 5, 10, 15, 30], y: [9, 8, 7, 6, 5] }, epochs), { x: [0, 0.5, 1, 1.5, 2], y: [9, 8, 7, 6, 5] });
  // before the first known epoch, within one, and where one is no number
  assert.deepEqual(overEpochs({ x: [1, 5, 8], y: [1, 2, 3] }, { x: [4, 6, 7], y: [3, 3, "NaN"] }), { x: [3], y: [3] });
  assert.deepEqual(overEpochs({ x: [1], y: [1] }, undefined), { x: [], y: [] });
  assert.deepEqual(["epoch", "train/epoch", "trainer.Epochs", "epoch_time", "my epoch"].map(countsEpochs), [true, true, true, false, false]);
});

test("the nearest value there is", () => {
  assert.deepEqual([near([1, null, undefined, 4], 1), near([1, null, undefined, 4], 2), near([null, null], 0), near([1, null, null, null, 2], 2, 1)], [1, 4, undefined, undefined]);
  assert.deepEqual([near([undefined, 1, 2, undefined], 0), near([undefined, 1, 2, undefined], 3), near([undefined, 1, 2], 2), near([], 0)], [undefined, undefined, 2, undefined]); // beyond its ends a line has no value
});

test("how far behind the best, either way", () => {
  assert.deepEqual(regret([[1, 3], [4, 2]], 2, false), [[1, 1], [4, 0]]);
  assert.deepEqual(regret([[1, 0.5], [2, 1]], 0.9, true), [[1, 0.4], [2, 0]]);
});

test("steps are filled between their changes and nowhere else", () => {
  assert.deepEqual(filled([[2, 5], [4, 3]], [1, 2, 3, 4, 5, 6], 5), [null, 5, 5, 3, 3, null]);
  assert.deepEqual(filled([], [1], 3), [null]);
});

test("a team is one line, in the place of its first sweep", () => {
  const sweeps = ["a", "b", "c"].map((sweep) => ({ sweep, name: `sweep ${sweep}` }));
  assert.deepEqual(drawnOf({ sweeps, teams: [{ name: "tpe", sweeps: ["b", "c"] }] }).map((one) => [one.id, one.name, one.place, one.sweeps, one.team?.name]), [["a", "sweep a", 0, ["a"], undefined], ["team tpe", "tpe (2 sweeps)", 1, ["b", "c"], "tpe"]]);
});

test("a group's runs are found by a filter", () => {
  assert.deepEqual(
    [sameAs("config.lr", 0.1), sameAs("config.opt", 'a"b'), sameAs("sweep", null), sameAs("tags", "x"), sameAs("tags", null)],
    ["config.lr == 0.1", 'config.opt == "a\\"b"', "sweep == None", '"x" in tags', ""],
  );
});

test("tags are counted once a run", () => {
  assert.deepEqual(tally([["b", "a"], ["a", "a"], []]), [["a", 2], ["b", 1]]);
});

test("a spark is a line of steps from the first result to the end, within its box", () => {
  assert.equal(sparkPath([[0, 2], [20, 1]], 40, 80, 20), "M0 2H40V18H80");
  assert.equal(sparkPath([[10, 5]], 40, 80, 20), "M20 10H80");
  assert.ok(!sparkPath([[0, -1e308], [1, 1e308]], 0, 80, 20).includes("NaN"));
});
