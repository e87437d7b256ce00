import assert from "node:assert/strict";
import { test } from "node:test";
import { align, range, since, smooth } from "../src/lib/curves.ts";
import { anyOf, both, MOST_LETTERS, propose, written } from "../src/lib/filter.ts";
import { flat } from "../src/lib/flat.ts";
import { changed, joined, parseSearch, parted, stringifySearch } from "../src/lib/search.ts";
import { partOf, within } from "../src/lib/sight.ts";
import { options, python, yaml } from "../src/lib/yaml.ts";

test("smoothing keeps constants, gaps and the first value", () => {
  assert.deepEqual(smooth([2, 2, 2], 0.9).map((one) => one && Math.round(one * 1e9) / 1e9), [2, 2, 2]);
  assert.deepEqual(smooth([1, null, 3], 0).map(String), ["1", "null", "3"]);
  assert.equal(smooth([5, 1, 1], 0.99)[0], 5);
  assert.equal(smooth([1, NaN, 1], 0.5)[2], 1);
});

test("curves meet on the union of their steps", () => {
  assert.deepEqual(align([{ x: [0, 2], y: [1, 3] }, { x: [1, 2], y: [5, null] }]), { x: [0, 1, 2], ys: [[1, undefined, 3], [undefined, 5, null]] });
});

test("over time a curve begins when its run did, and is moved once", () => {
  const lines = [{ x: [110, 120], start: 100 }, { x: [1030, 1040], start: 1000 }];
  assert.deepEqual(since(lines), [[10, 20], [30, 40]]);
  assert.deepEqual(since([{ x: [110, 120] }, { x: [], start: 5 }]), [[0, 10], []]);
});

test("the range shows the best and leaves out what is far off", () => {
  const values = [...Array.from({ length: 50 }, (_, i) => 1 + i / 100), 1e9];
  assert.equal(range(values, false).low, 1);
  assert.ok(range(values, false).high < 10);
  assert.deepEqual([range(values.map((v) => -v), true).high, range([], false).high], [-1, 1]);
  assert.equal(range([1e-4, 1e-2, 1, 0.5, 0.7, 0.2], false).log, true);
});

test("proposals fit what stands before the caret", () => {
  const columns = ["val_loss", "config.lr", "config.optimizer", "state"];
  const of = (text: string) => propose(text, text.length, columns).map((one) => one.text.trim());
  assert.deepEqual(of("opt")[0], "config.optimizer");
  assert.deepEqual(of("val_loss ").slice(0, 2), ["==", "!="]);
  assert.deepEqual(of("val_loss < 0.3 "), ["and", "or"]);
  assert.deepEqual(of("val_loss < 0.3 and conf"), ["config.lr", "config.optimizer"]);
  assert.deepEqual(of('state == "fa'), ['"failed"']);
  assert.deepEqual(of('state in ["failed", "st'), ['"stopped"']);
  assert.deepEqual(of('name == "conf'), []);
  assert.deepEqual(of("resnet"), ['"resnet" in name']);
});

test("columns are written as the server reads them", () => {
  assert.equal(written("config", "model.depth"), "config.model.depth");
  assert.equal(written("metrics", "val/loss"), 'metrics["val/loss"]');
  assert.equal(written("config", "in"), 'config["in"]');
  assert.equal(both("a < 1", "b or c"), "(a < 1) and (b or c)");
  assert.equal(both("", " b "), "b");
});

test("any number of runs are asked for in filters that the server reads", () => {
  assert.deepEqual([anyOf([]), anyOf(["a"]), anyOf(['a"b', "c"])], [[], ['id in ["a"]'], ['id in ["a\\"b", "c"]']]);
  const ids = Array.from({ length: 1000 }, (_, i) => `run-${i}`);
  const filters = anyOf(ids);
  assert.ok(filters.length > 1 && filters.every((one) => one.length <= MOST_LETTERS));
  assert.deepEqual(filters.flatMap((one) => JSON.parse(one.replace("id in ", "")) as string[]), ids);
});

test("what is asked for of a long table holds what is in sight, and little else", () => {
  assert.deepEqual(partOf(0, 40), { from: 0, limit: 100 });
  for (let first = 0; first < 3000; first += 7)
    for (const more of [10, 40, 90]) {
      const { from, limit } = partOf(first, first + more);
      assert.ok(from <= first && from + limit > first + more && limit <= 300, `${first} ${more}: ${from} ${limit}`);
      if (from > 0) assert.ok(first - from >= 50 && from + limit - first - more >= 50); // what comes next is here before it is seen
    }
  const parts = new Set(Array.from({ length: 1000 }, (_, i) => JSON.stringify(partOf(i, i + 40))));
  assert.ok(parts.size <= 21, `${parts.size} questions for a thousand rows`);
});

test("a stretch of rows over the pinned ones and the others", () => {
  const stretch = { from: 2, limit: 5 };
  assert.deepEqual([within(stretch, 0, 3), within(stretch, 3, 100)], [{ from: 2, limit: 1 }, { from: 0, limit: 4 }]);
  assert.deepEqual([within(stretch, 0, 2), within(stretch, 0, 4), within(stretch, 7, 9)], [null, { from: 2, limit: 2 }, null]);
});

test("an address says the same after a round", () => {
  const search = { filter: 'a < 3 and "x%2C" in name', sort: "-val/loss", columns: joined(["a,b", "c%", "val/loss"]) };
  assert.deepEqual(parseSearch(stringifySearch(search).slice(1)), search);
  assert.deepEqual(parted(search.columns), ["a,b", "c%", "val/loss"]);
  assert.deepEqual([parted(undefined), parted("")], [null, []]);
  assert.equal(stringifySearch({ a: undefined, b: "" }), "");
});

test("a change of the address leaves the rest as it was, and leaves out what is empty", () => {
  const search: Record<string, string | undefined> = { filter: "a", columns: "x", by: "state" };
  assert.deepEqual(changed(search, { filter: "", by: undefined, log: "0" }), { columns: "x", log: "0" });
  assert.deepEqual(changed(search, { columns: "" }), { filter: "a", columns: "", by: "state" }); // no columns are a choice, too
  assert.deepEqual(changed(search, { columns: undefined }), { filter: "a", by: "state" });
});

test("a configuration can be pasted", () => {
  const config = { lr: 1e-7, name: "yes", on: true, list: [1, "a b"], model: { depth: 3 }, none: null, metrics: [{ name: "loss", goal: "minimize" }] };
  assert.equal(yaml(config), 'lr: 1.0e-7\nname: "yes"\n"on": true\nlist: [1, "a b"]\nmodel:\n  depth: 3\nnone: null\nmetrics:\n  - name: loss\n    goal: minimize');
  assert.equal(python({ a: true, b: null, c: [NaN, "x"] }), '{"a": True, "b": None, "c": [float("nan"), "x"]}');
  assert.equal(options({ lr: 0.1, name: "it's two" }), `--lr=0.1 '--name=it'\\''s two'`);
  assert.deepEqual(flat({ a: { b: 1, c: {} }, d: [1] }), [["a.b", 1], ["a.c", {}], ["d", [1]]]);
});
