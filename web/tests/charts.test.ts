import assert from "node:assert/strict";
import { test } from "node:test";
import { alphaOf, draw, packed, picture } from "../src/charts/raster.ts";
import { type Brush, columnsOf, holds, range, read, write } from "../src/lib/brush.ts";
import { arranged, moved, nearest, ready, selected } from "../src/lib/parallel.ts";
import { ramp, rgb, standing } from "../src/lib/ramp.ts";
import { at, isLog, place, scaleOf, ticks } from "../src/lib/scale.ts";
import { typed } from "../src/lib/typed.ts";

const AXES = [
  { name: "lr", columns: columnsOf("lr", null) },
  { name: "model.optimizer", columns: columnsOf("model.optimizer", null) },
  { name: "a b", columns: columnsOf("a b", null) },
  { name: "loss", columns: columnsOf("loss", "first") },
  { name: "val/acc", columns: columnsOf("val/acc", "other") },
];

test("brushes are parts of a filter, and read back from it", () => {
  const brushes = new Map<string, Brush>([
    ["lr", { low: 1e-7, high: 0.1 }],
    ["model.optimizer", { options: ["adam", 'a "b" and c', true, null, 8] }],
    ["a b", { high: -3 }],
    ["loss", { low: 0.5 }],
    ["val/acc", { low: 2, high: 2 }],
  ]);
  const filter = write("", AXES, brushes);
  assert.equal(filter, '1e-7 <= params.lr <= 0.1 and params.model.optimizer in ["adam", "a \\"b\\" and c", True, None, 8] and params["a b"] <= -3 and value >= 0.5 and 2 <= metrics["val/acc"] <= 2');
  assert.deepEqual(read(filter, AXES), { brushes, rest: "" });
});

test("what else a filter says stays, and only what is wholly a brush is one", () => {
  const others = ['state == "failed"', "params.lr < 0.1", 'name == "a and params.lr <= 3"', "not (params.lr <= 3 and value >= 1)", "config.other <= 3", "0.1 <= params.lr < 0.2", "number >= 3"];
  for (const other of others) assert.deepEqual(read(other, AXES), { brushes: new Map(), rest: other }, other);
  assert.equal(write('state == "failed" and params.lr <= 3', AXES, new Map([["loss", { high: 1 }]])), 'state == "failed" and value <= 1');
  assert.equal(write("value >= 2 or best", AXES, new Map([["lr", { high: 1 }]])), "(value >= 2 or best) and params.lr <= 1");
  assert.equal(write("(value >= 2 or best) and params.lr <= 1", AXES, new Map()), "(value >= 2 or best)");
  assert.deepEqual([...read("config.lr <= 3 and params.lr >= 2", AXES).brushes], [["lr", { high: 3 }]]);
  assert.equal(read("order <= 3 and android >= 1", AXES).rest, "order <= 3 and android >= 1");
});

test("ranges have round numbers and open ends, and whole numbers stay whole", () => {
  const log = { low: 1e-5, high: 0.1, log: true };
  assert.deepEqual(range(log, 0.25, 0.75, false), { low: 1e-4, high: 0.01 });
  assert.deepEqual(range(log, 0.75, 0, false), { high: 0.01 });
  assert.equal(range(log, 1, 0, false), null);
  assert.deepEqual(range({ low: 0, high: 10, log: false }, 0.16, 0.48, true), { low: 2, high: 4 });
  assert.deepEqual(range({ low: 0, high: 10, log: false }, 0.26, 0.28, true), { low: 3, high: 3 });
  assert.ok(holds({ low: 1 }, 1) && !holds({ low: 1 }, "NaN") && !holds({ low: 1 }, null) && !holds({ high: 2 }, "1") && holds({ options: [1] }, true));
});

test("a place and its value are each other's", () => {
  for (const scale of [{ low: -3, high: 5, log: false }, { low: 1e-5, high: 10, log: true }, { low: -1e308, high: 1e308, log: false }])
    for (const share of [0, 0.1, 0.5, 1]) assert.ok(Math.abs(place(scale, at(scale, share)) - share) < 1e-9);
  assert.ok(Number.isNaN(place({ low: 1, high: 2, log: true }, 0)));
  assert.deepEqual(ticks({ low: 1e-5, high: 0.1, log: true }, 5), [1e-5, 1e-4, 1e-3, 0.01, 0.1]);
  assert.deepEqual(ticks({ low: 0, high: 0.6, log: false }, 5), [0, 0.2, 0.4, 0.6]);
  assert.deepEqual(ticks({ low: 3, high: 3, log: false }, 5), [3]);
  assert.deepEqual([scaleOf([2]), scaleOf([NaN])], [{ low: 1, high: 3, log: false }, { low: 0, high: 1, log: false }]);
  const config = { parameters: { lr: { distribution: "log_uniform_values", min: 1, max: 2 }, "a.b": { parameters: { c: { distribution: "uniform" } } } } };
  assert.deepEqual([isLog(config, "lr"), isLog(config, "a.b.c"), isLog(config, "none")], [true, false, false]);
});

test("lines cover what they cross, leave gaps, and nothing beyond the picture", () => {
  const [white, black] = [packed([255, 255, 255]), packed([0, 0, 0])];
  for (const smooth of [false, true]) {
    const onto = picture(11, 11);
    onto.pixels.fill(white);
    draw(onto, { xs: [0, 10], ys: [Float32Array.of(0, 5, NaN, -40), Float32Array.of(10, 5, 3, 60)], which: [0, 1, 2], colours: black, alpha: 1, smooth });
    for (let i = 0; i < 11; i += 1) assert.deepEqual([onto.pixels[i * 12], onto.pixels[55 + i]], [black, black]);
    assert.equal(onto.pixels[10], white);
    assert.equal(onto.pixels.filter((one) => one !== white).length, 21);
    draw(onto, { xs: [0, 10], ys: [Float32Array.of(0, 5, NaN, -40), Float32Array.of(10, 5, 3, 60)], which: [3], colours: Uint32Array.of(0, 0, 0, black), alpha: 0.5, smooth });
    assert.ok(onto.pixels.some((one) => one !== white && one !== black));
  }
  const onto = picture(3, 1);
  onto.pixels.fill(white);
  draw(onto, { xs: [0, 2], ys: [Float32Array.of(0), Float32Array.of(0)], which: [0], colours: packed([255, 0, 0]), alpha: 0.5, smooth: false });
  assert.equal((onto.pixels[1] as number).toString(16), "ff7f7fff"); // half of red on white, the alpha whole
  assert.deepEqual([alphaOf(1), alphaOf(10_000), alphaOf(1e9)], [0.9, 0.16, 0.12]);
});

test("colours are by rank, equals are equal, and what is no number has none", () => {
  assert.deepEqual([...standing([3, 1, NaN, 2], false)].map(String), ["0", "1", "NaN", "0.5"]);
  assert.deepEqual([...standing([3, 1, 1e300], true)], [0.5, 0, 1]);
  assert.deepEqual([...standing([1, 1], false), ...standing([7], false)], [0.5, 0.5, 1]);
  assert.deepEqual([rgb("#fff"), rgb("#102030"), ramp([rgb("#000"), rgb("#ffffff")], 0.5), ramp([rgb("#000"), rgb("#fff")], 9)], [[255, 255, 255], [16, 32, 48], [128, 128, 128], [255, 255, 255]]);
});

test("parallel coordinates are made ready: framed, the best on top, brushed, found and arranged", () => {
  const lines = Array.from({ length: 20 }, (_, i) => ({ number: i + 5, values: [i / 20, i % 2 ? "a" : "b", i === 19 ? 1e9 : i === 18 ? "NaN" : 10 + i], positions: [i / 20, i % 2, 0] }));
  const made = ready({ axes: [{ name: "x", kind: "linear", low: 0, high: 1, options: [], is_metric: false }, { name: "c", kind: "options", options: ["b", "a"], low: null, high: null, is_metric: false }, { name: "loss", kind: "linear", low: 10, high: 1e9, options: [], is_metric: true }], lines } as never, [false]);
  const loss = made.axes[2];
  assert.ok(loss?.scale && loss.scale.high < 100 && loss.at[19] === 1 && Number.isNaN(loss.at[18]) && loss.at[0] === 0);
  assert.deepEqual([made.order.at(-1), made.order[0], made.order[1]], [0, 18, 19]);
  assert.deepEqual([...selected(made, new Map<string, Brush>([["x", { high: 0.2 }], ["c", { options: ["b"] }]]))], [4, 2, 0]);
  assert.equal(nearest(Uint32Array.of(0, 1), Float32Array.of(0, 10), Float32Array.of(10, 20), 0.5, 14, 3), 1);
  assert.equal(nearest(Uint32Array.of(0, 1), Float32Array.of(0, 10), Float32Array.of(10, 20), 0.5, 10, 3), null);
  assert.deepEqual(arranged(made.axes, ["loss", "x", "gone"]).map((axis) => axis.name), ["loss", "x"]);
  assert.equal(arranged(made.axes, ["gone"]).length, 3);
  assert.deepEqual([moved(["a", "b", "c"], "a", 1), moved(["a", "b"], "a", -4)], [["b", "a", "c"], ["a", "b"]]);
});

test("what is typed for a parameter is what it looks like", () => {
  assert.deepEqual(["0.1", " 1e-3 ", "+2", ".5", "true", "null", "[1, 2]", '"8"', "adam", "1x"].map(typed), [0.1, 1e-3, 2, 0.5, true, null, [1, 2], "8", "adam", "1x"]);
});
