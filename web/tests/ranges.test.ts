import assert from "node:assert/strict";
import { test } from "node:test";
import { asTexts, atEnd, partsOf } from "../src/lib/ranges.ts";

const config = {
  parameters: {
    lr: { min: 1e-4, max: 0.1, distribution: "log_uniform_values" },
    net: { parameters: { width: { min: 8, max: 64 } } },
    opt: { values: ["sgd", "adam"] },
    odd: { values: ["a, b", "8", 8, [1, 2]] },
    noise: { distribution: "normal", mu: 0, sigma: 2 },
  },
};

test("ranges as texts", () => {
  assert.deepEqual(asTexts(config.parameters.lr), { min: "0.0001", max: "0.1" });
  assert.deepEqual(asTexts(config.parameters.opt), { values: "sgd, adam" });
  assert.deepEqual(asTexts(config.parameters.odd), { values: '["a, b","8",8,[1,2]]' });
  assert.deepEqual(asTexts(config.parameters.noise), { mu: "0", sigma: "2" });
  assert.deepEqual(asTexts(null), {});
});

test("only what was changed is sent", () => {
  const texts = { lr: { min: "1e-5", max: "0.1" }, "net.width": { min: "8", max: "128 " }, opt: { values: "sgd, adam, lion" }, odd: { values: '["a, b", 9]' }, noise: { mu: "0", sigma: "2" } };
  assert.deepEqual(partsOf(config, texts), { lr: { min: 1e-5 }, "net.width": { max: 128 }, opt: { values: ["sgd", "adam", "lion"] }, odd: { values: ["a, b", 9] } });
  assert.deepEqual(partsOf(config, { lr: { min: "low", max: "0.1" } }), { lr: { min: "low" } }); // the server says what is wrong with it
});

test("at which end the best lies", () => {
  assert.deepEqual(atEnd(config, "lr", 0.099), { side: "upper", value: 0.099 });
  assert.deepEqual(atEnd(config, "lr", 1.1e-4), { side: "lower", value: 1.1e-4 });
  assert.equal(atEnd(config, "lr", 0.003), null); // in the middle of a logarithmic range
  assert.deepEqual(atEnd(config, "net.width", 64), { side: "upper", value: 64 });
  assert.equal(atEnd(config, "opt", "sgd"), null);
  assert.equal(atEnd(config, "gone", 1), null);
});
