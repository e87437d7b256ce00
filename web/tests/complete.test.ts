import assert from "node:assert/strict";
import { test } from "node:test";
import { complete, type Known, spotAt } from "../src/lib/complete.ts";

const KNOWN: Known = {
  schema: {
    properties: {
      method: { description: "How.", anyOf: [{ enum: ["bayes", "tpe"] }, { type: "object", properties: { name: { enum: ["bayes", "tpe"] } } }, { type: "null" }] },
      metric: { anyOf: [{ type: "string" }, { $ref: "#/$defs/metric" }] },
      metrics: { items: { anyOf: [{ type: "string" }, { $ref: "#/$defs/metric" }] } },
      parameters: { $ref: "#/$defs/parameters", description: "The space." },
      run_cap: { type: ["integer", "null"], description: "The most." },
      early_terminate: { anyOf: [{ enum: ["asha", "pasha"] }, { type: "object", properties: { type: { enum: ["asha", "pasha"] } } }] },
    },
    $defs: {
      parameters: { type: "object", additionalProperties: { $ref: "#/$defs/parameter" } },
      parameter: { anyOf: [{ type: "array" }, { type: "object", properties: { min: { description: "Least." }, max: {}, log: { type: "boolean" }, distribution: { enum: ["uniform", "normal"] }, parameters: { $ref: "#/$defs/parameters" } } }] },
      metric: { type: "object", properties: { name: {}, goal: { enum: ["minimize", "maximize"] } } },
    },
  },
  plugins: {
    method: [{ name: "bayes", about: "In doubt.", knobs: ["prior", "cost"] }, { name: "tpe", about: "Many.", knobs: ["gamma"] }],
    early_terminate: [{ name: "asha", about: "Rungs.", knobs: ["min_steps"] }],
  },
};
/** What is offered at the bar. */
const at = (text: string, all = false): string[] => complete(text.replace("|", ""), text.indexOf("|"), KNOWN, all).map((one) => one.text);

test("keys at the top, those that are there left out", () => {
  assert.deepEqual(at("me|"), ["method: ", "metric: ", "metrics: ", "parameters: "].filter((one) => one.includes("me")).sort((a, b) => Number(!a.startsWith("me")) - Number(!b.startsWith("me"))));
  assert.deepEqual(at("method: tpe\nrun|\nmetric: loss"), ["run_cap: "]);
  assert.deepEqual(at("method: tpe\nme|\nmetric: loss"), ["metrics: ", "parameters: "]);
  assert.deepEqual(at("|"), []);
  assert.equal(at("|", true).length, 6);
});

test("values by enum, with what the server says of them", () => {
  assert.deepEqual(at("method: |"), ["bayes", "tpe"]);
  assert.deepEqual(at("method: t|"), ["tpe"]);
  assert.equal(complete("method: t", 9, KNOWN)[0]?.about, "Many.");
  assert.deepEqual(at("metric:\n  name: loss\n  goal: m|"), ["minimize", "maximize"]);
  assert.deepEqual(at("metrics:\n  - name: loss\n    goal: max|"), ["maximize"]);
  assert.deepEqual(at("metrics:\n- go|"), ["goal: "]);
  assert.deepEqual(at("metrics:\n- name: a\n  goal: max|"), ["maximize"]);
  assert.deepEqual(at("metrics:\n  - {name: a, goal: max|}"), ["maximize"]);
});

test("a value that is complete is what was meant", () => {
  assert.deepEqual(at("early_terminate: ash|"), ["asha", "pasha"]);
  assert.deepEqual(at("early_terminate: asha|"), []);
  assert.deepEqual(at("early_terminate: {type: asha|}"), []);
  assert.deepEqual(at("early_terminate: asha|", true), ["pasha"]); // what is asked for is shown
  assert.deepEqual(at("metric|"), ["metric: ", "metrics: "]);
  assert.deepEqual(at("metrics: a\nmetric|").slice(0, 1), ["metric: "]);
});

test("below parameters, nested and in braces", () => {
  assert.deepEqual(at("parameters:\n  lr:\n    mi|"), ["min: "]);
  assert.deepEqual(at("parameters:\n  lr: {min: 1, |}", true).sort(), ["distribution: ", "log: ", "max: ", "parameters: "]);
  assert.deepEqual(at("parameters:\n  lr: {min: 1, log: |}"), ["true", "false"]);
  assert.deepEqual(at("parameters:\n  net:\n    parameters:\n      depth: {distribution: no|"), ["normal"]);
  assert.deepEqual(at("parameters: {lr: {m|"), ["min: ", "max: ", "parameters: "]);
  assert.deepEqual(at("parameters:\n  a: {min: 1}\n  b|"), []);
});

test("knobs of the method that is chosen", () => {
  assert.deepEqual(at("method: {name: bayes, c|}"), ["cost: "]);
  assert.deepEqual(at("method:\n  name: tpe\n  g|"), ["gamma: "]);
  assert.deepEqual(at("method: {name: tpe, g|}"), ["gamma: "]);
  assert.deepEqual(at("early_terminate: {type: asha, min|}"), ["min_steps: "]);
});

test("nothing in comments, quotes and lists", () => {
  for (const text of ["# me|", "run_cap: 3 # me|", 'name: "me|', "parameters:\n  a: {values: [m|]}", "a b c|"]) assert.deepEqual(at(text, true), [], text);
});

test("the place in the text", () => {
  assert.deepEqual(spotAt("parameters:\n  lr:\n    # note\n\n    min: 0.|", 41), { path: ["parameters", "lr"], key: "min", word: "0.", taken: [] });
  assert.deepEqual(complete("a: 1\nmet", 8, KNOWN)[0], { text: "method: ", about: "How.", from: 5, to: 8 });
});
