import assert from "node:assert/strict";
import { test } from "node:test";
import { addRow, dropRow, putGood, putKind, putKnobs, putMethod, putMetrics, putPart, putStopper, putText, read, renamed, type Row, type Sheet } from "../src/lib/sheet.ts";

const FILE = `# A classifier.
program: train.py
method: bayes # the default
metric: {name: val_loss, goal: minimize, summary: best}
parameters:
  optimizer: {values: [sgd, adamw, "1"]}
  lr: {min: 1e-4, max: 0.5, log: true} # per step
  momentum: {min: 0.5, max: 0.99, when: {optimizer: sgd}}
  batch: {min: 16, max: 256, step: 16}
  epochs: 30
  noise: {distribution: normal, mu: 0, sigma: 1}
  model:
    parameters:
      depth: {min: 2, max: 8}
early_terminate: {type: asha, min_steps: 3}
constraints:
  - batch <= 128
run_cap: 60
`;

const sheet = (text: string): Sheet => {
  const found = read(text);
  assert.ok(typeof found !== "string", String(found));
  return found;
};
const row = (text: string, name: string): Row => sheet(text).rows.find((one) => one.name === name) as Row;
/** The lines that differ. */
const diff = (before: string, after: string): string[] => {
  const [a, b] = [before.split("\n"), after.split("\n")];
  return [...a.filter((line) => !b.includes(line)).map((line) => `-${line.trim()}`), ...b.filter((line) => !a.includes(line)).map((line) => `+${line.trim()}`)];
};

test("a file is read as it is written", () => {
  const found = sheet(FILE);
  assert.deepEqual([found.program, found.method, found.methodKnobs, found.stopper, found.stopperKnobs, found.cap], ["train.py", "bayes", "", "asha", "min_steps: 3", "60"]);
  assert.deepEqual(found.metrics, [{ name: "val_loss", goal: "minimize" }]);
  assert.deepEqual(found.others, ["constraints"]);
  assert.deepEqual(found.rows.map((one) => [one.name, one.kind, one.low, one.high, one.log, one.step, one.value]), [
    ["optimizer", "choice", "", "", false, "", 'sgd, adamw, "1"'],
    ["lr", "float", "1e-4", "0.5", true, "", ""],
    ["momentum", "float", "0.5", "0.99", false, "", ""],
    ["batch", "int", "16", "256", false, "16", ""],
    ["epochs", "constant", "", "", false, "", "30"],
    ["noise", "other", "", "", false, "", "distribution: normal, mu: 0, sigma: 1"],
    ["model.depth", "int", "2", "8", false, "", ""],
  ]);
  assert.equal(row(FILE, "momentum").when, "{optimizer: sgd}");
});

test("whole bounds are integers unless a distribution says otherwise", () => {
  const kind = (inner: string): string => row(`parameters: {x: {${inner}}}`, "x").kind;
  assert.deepEqual(["min: 1, max: 9", "min: 1.0, max: 9", "min: 1, max: 9, distribution: uniform", "min: 1, max: 9, distribution: int_uniform", "min: 1, max: 9, q: 2", "around: 3", "min: -9, max: -2, distribution: log_uniform", "distribution: log_uniform, min: 0.1, max: 1"].map(kind), ["int", "float", "float", "int", "other", "other", "other", "float"]);
});

test("a change of one thing leaves every other line as it was", () => {
  assert.deepEqual(diff(FILE, putPart(FILE, row(FILE, "lr"), "low", "1e-5")), ["-lr: {min: 1e-4, max: 0.5, log: true} # per step", "+lr: {min: 1e-5, max: 0.5, log: true} # per step"]);
  assert.deepEqual(diff(FILE, putText(FILE, "run_cap", "80")), ["-run_cap: 60", "+run_cap: 80"]);
  assert.deepEqual(diff(FILE, putText(FILE, "run_cap", "")), ["-run_cap: 60"]);
  assert.deepEqual(diff(FILE, putText(FILE, "name", "123")), ['+name: "123"']);
  assert.deepEqual(diff(FILE, putPart(FILE, row(FILE, "optimizer"), "value", "sgd, lion, 3")), ['-optimizer: {values: [sgd, adamw, "1"]}', "+optimizer: {values: [sgd, lion, 3]}"]);
  assert.deepEqual(diff(FILE, putPart(FILE, row(FILE, "epochs"), "value", "12")), ["-epochs: 30", "+epochs: 12"]);
  assert.deepEqual(diff(FILE, putPart(FILE, row(FILE, "model.depth"), "high", "9")), ["-depth: {min: 2, max: 8}", "+depth: {min: 2, max: 9}"]);
  assert.deepEqual(diff(FILE, putStopper(FILE, "", [])), ["-early_terminate: {type: asha, min_steps: 3}"]);
  assert.deepEqual(diff(FILE, putStopper(FILE, "median", ["percentile"])), ["-early_terminate: {type: asha, min_steps: 3}", "+early_terminate: median"]);
  assert.deepEqual(diff(FILE, putStopper(FILE, "pasha", ["min_steps"])), ["-early_terminate: {type: asha, min_steps: 3}", "+early_terminate: {type: pasha, min_steps: 3}"]);
  assert.deepEqual(diff(FILE, dropRow(FILE, row(FILE, "noise"))), ["-noise: {distribution: normal, mu: 0, sigma: 1}"]);
});

test("numbers keep their form and floats stay floats", () => {
  const low = (typed: string, name = "lr"): string | undefined => /min: ([^,]+)/.exec(putPart(FILE, row(FILE, name), "low", typed).split("\n").find((line) => line.includes(`${name}:`)) ?? "")?.[1];
  assert.deepEqual(["1e-7", "0.00012", "1", "1.50", "0", "2e3"].map((one) => low(one)), ["1e-7", "0.00012", "1.0", "1.50", "0.0", "2e+3"]);
  assert.deepEqual(["3", "1e1"].map((one) => low(one, "batch")), ["3", "10"]);
  assert.equal(row(putPart(FILE, row(FILE, "lr"), "low", "oops"), "lr").low, "oops");
});

test("the scale, a step and a condition", () => {
  const plain = putPart(FILE, row(FILE, "lr"), "log", "");
  assert.equal(row(plain, "lr").log, false);
  assert.equal(row(putPart(plain, row(plain, "lr"), "log", "1"), "lr").log, true);
  const old = "parameters: {x: {distribution: log_uniform_values, min: 0.1, max: 1.0}}";
  assert.equal(putPart(old, row(old, "x"), "log", ""), "parameters: {x: {min: 0.1, max: 1.0}}\n");
  assert.match(putPart(FILE, row(FILE, "batch"), "step", ""), /batch: {min: 16, max: 256}\n/);
  assert.match(putPart(FILE, row(FILE, "epochs"), "when", "batch > 32"), /epochs: {value: 30, when: batch > 32}\n/);
});

test("another kind takes over what fits", () => {
  const as = (name: string, kind: "float" | "int" | "choice" | "constant"): string => putKind(FILE, row(FILE, name), kind).split("\n").find((line) => line.trim().startsWith(`${name.split(".").at(-1)}:`))?.trim() ?? "";
  assert.equal(as("batch", "float"), "batch: {min: 16.0, max: 256.0}");
  assert.equal(as("epochs", "int"), "epochs: {min: 8, max: 120}");
  assert.equal(as("epochs", "choice"), "epochs: {values: [30]}");
  assert.equal(as("momentum", "choice"), "momentum: {values: [0.5, 0.99], when: {optimizer: sgd}}");
  assert.equal(as("optimizer", "constant"), "optimizer: sgd");
  assert.equal(as("optimizer", "float"), "optimizer: {min: 0.0, max: 1.0}");
  assert.equal(as("noise", "int"), "noise: {min: 1, max: 10}");
  assert.equal(as("lr", "int"), "lr: {min: 1, max: 2, log: true} # per step");
});

test("what is believed is the method's prior, and goes with its parameter", () => {
  const one = putGood(FILE, row(FILE, "lr"), "0.01");
  assert.match(one, /method:( # the default)?\n {2}name: bayes( # the default)?\n {2}prior: {lr: 0.01}\n/);
  assert.equal(row(one, "lr").good, "0.01");
  const two = putGood(one, row(one, "optimizer"), "sgd");
  assert.equal(row(two, "optimizer").good, "sgd");
  const other = renamed(two, row(two, "lr"), "rate");
  assert.ok(other);
  assert.equal(row(other, "rate").good, "0.01");
  assert.match(putMethod(two, "tpe", ["prior"]), /name: tpe/);
  assert.match(putMethod(two, "cmaes", ["sigma"]), /^method: cmaes/m);
  const none = dropRow(putGood(two, row(two, "optimizer"), ""), row(two, "lr"));
  assert.match(none, /^method: bayes/m);
  const sure = "method: {name: tpe, prior: {x: {value: 1, confidence: high}}}\nparameters: {x: {min: 0, max: 9}}\n";
  assert.match(putGood(sure, row(sure, "x"), "3"), /x: {value: 3, confidence: high}/);
});

test("a name that is taken is refused", () => {
  assert.equal(renamed(FILE, row(FILE, "lr"), "epochs"), false);
  assert.equal(renamed(FILE, row(FILE, "lr"), " "), false);
  assert.deepEqual(diff(FILE, renamed(FILE, row(FILE, "model.depth"), "layers") || ""), ["-depth: {min: 2, max: 8}", "+layers: {min: 2, max: 8}"]);
});

test("knobs are written in a line", () => {
  assert.match(putKnobs(FILE, "method", "num_startup: 5, cost: seconds") || "", /method: {name: bayes, num_startup: 5, cost: seconds}/);
  assert.equal(sheet(putKnobs(FILE, "method", "num_startup: 5") || "").methodKnobs, "num_startup: 5");
  for (const typed of ["num_startup: [", "num_startup", "a: b: c"]) assert.equal(putKnobs(FILE, "method", typed), false, typed);
  assert.match(putKnobs(FILE, "early_terminate", "") || "", /^early_terminate: asha$/m);
  const believed = putGood(FILE, row(FILE, "lr"), "0.01");
  assert.equal(row(putKnobs(believed, "method", "num_startup: 5") || "", "lr").good, "0.01");
});

test("one metric or several; what else is said of one stays", () => {
  const two = putMetrics(FILE, [{ name: "val_loss", goal: "minimize", from: 0 }, { name: "acc", goal: "maximize" }]);
  assert.deepEqual(sheet(two).metrics, [{ name: "val_loss", goal: "minimize" }, { name: "acc", goal: "maximize" }]);
  assert.match(two, /summary: best/);
  assert.doesNotMatch(two, /^metric:/m);
  const one = putMetrics(two, [{ name: "acc", goal: "maximize", from: 1 }]);
  assert.match(one, /^metric: {name: acc, goal: maximize}$/m);
});

test("parameters are added where there are none, too", () => {
  assert.deepEqual(sheet(addRow("")).rows.map((one) => [one.name, one.low, one.high]), [["param_1", "0.0", "1.0"]]);
  assert.deepEqual(sheet(addRow(addRow(FILE))).rows.slice(-2).map((one) => one.name), ["param_1", "param_2"]);
});

test("what can't be read is said, and nothing is changed", () => {
  for (const text of ["a: [1, 2", "- 1", "a: 1\na: 2"]) {
    assert.equal(typeof read(text), "string", text);
    assert.equal(putText(text, "name", "x"), text);
  }
});

test("an alias whose anchor goes is written out, and those after it stand for that", () => {
  const text = "parameters:\n  a: &range {min: 0.0, max: 1.0}\n  b: *range\n  c: *range\nother: &n 3\nmore: *n\n";
  assert.equal(dropRow(text, row(text, "a")), "parameters:\n  b: &range {min: 0.0, max: 1.0}\n  c: *range\nother: &n 3\nmore: *n\n");
  assert.equal(putKind(text, row(text, "a"), "constant"), "parameters:\n  a: 0.0\n  b: &range {min: 0.0, max: 1.0}\n  c: *range\nother: &n 3\nmore: *n\n");
  const nested = "parameters:\n  a: &outer {values: &inner [1, 2]}\n  b: *outer\n  c: {values: *inner}\n";
  assert.equal(dropRow(nested, row(nested, "a")), "parameters:\n  b: &outer {values: &inner [1, 2]}\n  c: {values: *inner}\n");
  const turned = "parameters:\n  a: &outer {values: &inner [1, 2]}\n  c: {values: *inner}\n  b: *outer\n";
  assert.equal(dropRow(turned, row(turned, "a")), "parameters:\n  c: {values: &inner [1, 2]}\n  b: &outer {values: [1, 2]}\n"); // an anchor stands only once
  assert.equal(putText(text, "name", "x"), `name: x\n${text}`);
});

test("a change to a parameter leaves those be that an alias shares with it", () => {
  const text = "parameters:\n  b: &p {min: 1.0, max: 2.0} # b's\n  c: *p\n  d: *p\n  e: &v {values: [1, 2]}\n  f: *v\n";
  const rest = "  c: &p {min: 1.0, max: 2.0}\n  d: *p\n  e: &v {values: [1, 2]}\n  f: *v\n";
  assert.equal(putPart(text, row(text, "b"), "high", "3.0"), `parameters:\n  b: {min: 1.0, max: 3.0} # b's\n${rest}`);
  assert.equal(putPart(text, row(text, "b"), "log", "true"), `parameters:\n  b: {min: 1.0, max: 2.0, log: true} # b's\n${rest}`);
  assert.equal(putPart(text, row(text, "c"), "low", "0.5"), text.replace("c: *p", "c: {min: 0.5, max: 2.0}"));
  assert.equal(putPart(text, row(text, "e"), "value", "1, 2, 3"), text.replace("e: &v {values: [1, 2]}\n  f: *v", "e: {values: [1, 2, 3]}\n  f: &v {values: [1, 2]}"));
  const groups = "parameters:\n  g1: &g\n    parameters:\n      a: {min: 0.0, max: 1.0}\n      b: 2\n  g2: *g # g2's\n";
  const second = "  g2:\n    # g2's\n    &g\n    parameters:\n      a: {min: 0.0, max: 1.0}\n      b: 2\n";
  const first = "parameters:\n  g1:\n    parameters:\n      a: {min: 0.0, max: 1.0}\n      b: 2\n";
  assert.equal(putPart(groups, row(groups, "g1.a"), "high", "3.0"), `${first.replace("1.0", "3.0")}${second}`);
  assert.equal(putPart(groups, row(groups, "g1.b"), "value", "4"), `${first.replace("b: 2", "b: 4")}${second}`);
  assert.equal(dropRow(groups, row(groups, "g1.b")), `${first.replace("      b: 2\n", "")}${second}`);
  assert.equal(renamed(groups, row(groups, "g1.b"), "c"), `${first.replace("b: 2", "c: 2")}${second}`);
  const alone = "parameters:\n  b: &p {min: 1.0, max: 2.0}\n";
  assert.equal(putPart(alone, row(alone, "b"), "high", "3.0"), alone.replace("2.0", "3.0"));
});

test("a comma within quotes parts nothing when the kind changes", () => {
  const text = "parameters:\n  a: {values: ['x, y', z]}\n  b: {value: '1, 2'}\n";
  assert.match(putKind(text, row(text, "a"), "constant"), /a: x, y$/m);
  assert.match(putKind(text, row(text, "b"), "choice"), /b: {values: \["1, 2"\]}/);
  assert.match(putKind(text, row(text, "b"), "float"), /b: {min: 0.0, max: 1.0}/);
});

test("a group goes with its last parameter", () => {
  const text = "parameters:\n  lr: {min: 0.1, max: 1.0}\n  net:\n    parameters:\n      head:\n        parameters:\n          width: {min: 1, max: 9}\n";
  assert.equal(dropRow(text, row(text, "net.head.width")), "parameters:\n  lr: {min: 0.1, max: 1.0}\n");
  const two = text.replace("      head:", "      depth: 3\n      head:");
  assert.equal(dropRow(two, row(two, "net.head.width")), "parameters:\n  lr: {min: 0.1, max: 1.0}\n  net:\n    parameters:\n      depth: 3\n");
});

test("lists and W&B's forms", () => {
  const text = "command:\n  - python\n  - ${program}\n  - two words\nmetric: loss\nparameters:\n  a: [1, 2.0, null, 'x, y']\n  b: {value: [1, 2]}\n";
  const found = sheet(text);
  assert.equal(found.command, "python ${program} 'two words'");
  assert.deepEqual(found.metrics, [{ name: "loss", goal: "minimize" }]);
  assert.deepEqual(found.rows.map((one) => [one.kind, one.value]), [["choice", '1, 2.0, null, "x, y"'], ["constant", "[1, 2]"]]);
  assert.match(putPart(text, row(text, "a"), "value", '1, "x, y"'), /a: \[1, "x, y"\]/);
});
