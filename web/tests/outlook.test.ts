import assert from "node:assert/strict";
import { test } from "node:test";
import { bare, isAt, outlook, placeOf } from "../src/lib/outlook.ts";

const of = (grid_size: number | null, num_trials: number | null, config: Record<string, unknown> = {}) => outlook({ grid_size, num_trials, config });

test("how many trials there will be", () => {
  assert.deepEqual([of(12, 12).number, of(12, 12).why], ["12", "A grid of 12 configurations, each once; then it ends by itself."]);
  assert.match(of(1200, 30, { run_cap: 30 }).why, /A grid of 1,200 configurations, of which the cap leaves 1,170 untried/);
  assert.match(of(12, 12, { run_cap: 30 }).why, /fewer than the cap of 30/);
  assert.deepEqual([of(null, 60, { run_cap: 60 }).number, of(null, 60, { run_cap: 60 }).unit], ["60", "trials at most"]);
  assert.match(of(null, 60, { run_cap: 60, method: "grid" }).why, /too intricate/);
  assert.match(of(null, 60, { run_cap: 60, terminate: { no_improvement: 3 } }).why, /terminate may end it sooner/);
  assert.equal(of(null, null).number, "∞");
  assert.equal(of(1e24, 1e24).number, "1.00e24");
  assert.equal(of(1, 1).unit, "trial");
});

test("where a fault belongs", () => {
  const fault = { problem: "<config>:7: parameters.lr.min: 1 is not below", fix: "", line: 7, path: "parameters.lr.min" };
  assert.equal(bare(fault), "1 is not below");
  assert.equal(bare({ ...fault, problem: "<config>:3:9: this is not YAML", path: "" }), "this is not YAML");
  assert.equal(bare({ ...fault, problem: "no configuration fulfils 'a > b'", path: "" }), "no configuration fulfils 'a > b'");
  assert.deepEqual([isAt(fault, placeOf(["lr"])), isAt(fault, placeOf(["l"])), isAt({ ...fault, path: "metrics[0].goal" }, "metrics")], [true, false, true]);
});
