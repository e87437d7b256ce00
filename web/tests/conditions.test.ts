import assert from "node:assert/strict";
import { test } from "node:test";
import { addLimit, boxesOf, dropLimit, expressionOf, type Only, proposed, putBound, putOnly, renamedLimit, valuesOf } from "../src/lib/conditions.ts";
import { putKind, putPart, read, renamed, type Row, type Sheet } from "../src/lib/sheet.ts";

const FILE = `# Mine.
metric: {name: val_loss}
parameters:
  optimizer: {values: [sgd, adamw, "1", "a: b"]}
  amp: {values: [true, false]}
  depth: {min: 2, max: 8}
  epochs: 30 # all of them
  momentum: {min: 0.5, max: 0.99, when: {optimizer: sgd}} # its own
  nesterov: {values: [true, false], when: {optimizer: [sgd, "1"], depth: 2}}
  warm: {min: 0.1, max: 1.0, when: "depth > 3"}
  net:
    when: {optimizer: sgd}
    parameters:
      width: {min: 1, max: 9}
limits:
  latency_ms: {max: 20} # on the telephone
`;

const sheet = (text: string): Sheet => {
  const found = read(text);
  assert.ok(typeof found !== "string", String(found));
  return found;
};
const row = (text: string, name: string): Row => sheet(text).rows.find((one) => one.name === name) as Row;
const line = (text: string, name: string): string => text.split("\n").find((one) => one.trim().startsWith(`${name}:`))?.trim() ?? "";
const put = (name: string, only: Only[], text = FILE): string => line(putOnly(text, row(text, name), only), name);

test("a mapping of values is read as rows, anything else is left to the text", () => {
  assert.deepEqual(row(FILE, "momentum").only, [{ name: "optimizer", values: ["sgd"] }]);
  assert.deepEqual(row(FILE, "nesterov").only, [{ name: "optimizer", values: ["sgd", '"1"'] }, { name: "depth", values: ["2"] }]);
  assert.deepEqual(row(FILE, "epochs").only, []);
  assert.equal(row(FILE, "warm").only, null);
  assert.equal(row(FILE.replace("optimizer: sgd}} # its", "optimizer: {a: 1}}} # its"), "momentum").only, null);
  assert.equal(row(FILE, "net.width").only?.length, 0); // its group's is the text's
});

test("only the condition that is changed is written anew", () => {
  assert.equal(put("momentum", [{ name: "optimizer", values: ["sgd", "adamw"] }]), "momentum: {min: 0.5, max: 0.99, when: {optimizer: [sgd, adamw]}} # its own");
  assert.equal(put("momentum", [{ name: "optimizer", values: ["sgd"] }, { name: "amp", values: ["true"] }]), "momentum: {min: 0.5, max: 0.99, when: {optimizer: sgd, amp: true}} # its own");
  assert.equal(put("momentum", []), "momentum: {min: 0.5, max: 0.99} # its own");
  assert.equal(put("momentum", [{ name: "optimizer", values: [] }]), "momentum: {min: 0.5, max: 0.99, when: {optimizer: []}} # its own");
  assert.equal(put("epochs", [{ name: "amp", values: ["true"] }]), "epochs: {value: 30, when: {amp: true}} # all of them");
  assert.equal(put("optimizer", [{ name: "amp", values: ["false"] }]), 'optimizer: {values: [sgd, adamw, "1", "a: b"], when: {amp: false}}');
  assert.equal(put("momentum", [{ name: "optimizer", values: ['"1"', '"a: b"'] }]), 'momentum: {min: 0.5, max: 0.99, when: {optimizer: ["1", "a: b"]}} # its own');
  assert.equal(putOnly(FILE, row(FILE, "nesterov"), row(FILE, "nesterov").only ?? []), FILE);
});

test("values with colons and the like are quoted, so that they come back", () => {
  assert.deepEqual(valuesOf(row(FILE, "optimizer").value), ["sgd", "adamw", '"1"', '"a: b"']);
  for (const hard of ["a: b", "#x", "*y", "a, b", "", " z ", "- q", "yes", "1e3", "null", "[", "x #y", "it's"]) {
    const text = `parameters:\n  a: {values: [${JSON.stringify(hard)}, plain]}\n  b: {min: 1, max: 2}\n`;
    const [first] = valuesOf(row(text, "a").value);
    const made = putOnly(text, row(text, "b"), [{ name: "a", values: [first as string] }]);
    assert.deepEqual(row(made, "b").only, [{ name: "a", values: [first] }], hard);
    assert.equal(expressionOf(row(made, "b").only ?? []), `a == '${hard.replaceAll("'", "\\'")}'`);
  }
});

test("the same as an expression is in Python's words", () => {
  assert.equal(expressionOf([{ name: "optimizer", values: ["sgd", '"1"'] }, { name: "amp", values: ["true"] }, { name: "net.width", values: ["1e-3"] }, { name: "a-b", values: ["null"] }]), "optimizer in ['sgd', '1'] and amp == True and net.width == 1e-3 and params['a-b'] == None");
});

test("an expression that says no more than rows is rows, and a mapping once it is changed", () => {
  const of = (when: string): Only[] | null => row(`parameters:\n  a: {min: 1, max: 2, when: ${JSON.stringify(when)}}\n`, "a").only;
  assert.deepEqual(of("optimizer == 'sgd'"), [{ name: "optimizer", values: ["sgd"] }]);
  assert.deepEqual(of(`o in ['sgd', "it's", '1', 'a, b'] and amp == True and params['a-b'] == None and n.m in [1, -2.5e-3]`), [
    { name: "o", values: ["sgd", "it's", '"1"', '"a, b"'] },
    { name: "amp", values: ["true"] },
    { name: "a-b", values: ["null"] },
    { name: "n.m", values: ["1", "-2.5e-3"] },
  ]);
  for (const more of ["", "depth > 2", "a == 'x' or b == 'y'", "a == 'x' and", "a == 'x' b", "(a == 'x')", "not a == 'x'", "a == b", "a == 'x' and a == 'y'", "a in ['x'", "a == 'x' and b > 1", "a == '\\N{DASH}'", "lambda == 1", "a == 1-5", "a == 0o12", "a == 'x\ny'"]) assert.equal(of(more), null, more);
  assert.equal(of(`x in [${"1".repeat(60)} ${"1 ".repeat(60)}`), null); // soon
  const only = [{ name: "optimizer", values: ["sgd", '"1"', "true"] }, { name: "x y", values: ["3"] }];
  assert.deepEqual(of(expressionOf(only)), only);
  const text = "parameters:\n  opt: {values: [x, y]}\n  a: {min: 1, max: 2, when: opt == 'x'}\n";
  assert.match(putOnly(text, row(text, "a"), [{ name: "opt", values: ["x", "y"] }]), /when: {opt: \[x, y\]}}\n$/);
  assert.match(renamed(text, row(text, "opt"), "o") || "", /when: {o: x}}\n$/);
});

test("a new condition is about a choice, and in no circle", () => {
  const rows = sheet(FILE).rows;
  assert.deepEqual(proposed(row(FILE, "depth"), rows), { name: "optimizer", values: ["sgd"] });
  assert.deepEqual(proposed(row(FILE, "optimizer"), rows), { name: "amp", values: ["true"] }); // not nesterov: it depends on this one
  assert.deepEqual(proposed(row(FILE, "momentum"), rows), { name: "amp", values: ["true"] });
  assert.equal(proposed(row("parameters: {a: 1}", "a"), sheet("parameters: {a: 1}").rows), null);
});

test("conditions follow a parameter's new name, of groups too", () => {
  const made = renamed(FILE, row(FILE, "optimizer"), "opt") || "";
  assert.deepEqual(row(made, "nesterov").only?.[0]?.name, "opt");
  assert.match(made, /net:\n {4}when: {opt: sgd}\n/);
  assert.doesNotMatch(made, /optimizer/);
});

test("limits are rows, and what is not changed stays", () => {
  assert.deepEqual(sheet(FILE).limits, [{ name: "latency_ms", low: "", high: "20" }]);
  assert.deepEqual(sheet(FILE).others, []);
  const two = putBound(renamedLimit(addLimit(FILE), "limit_1", "accuracy") || "", "accuracy", "min", "0.90");
  assert.equal(two, `${FILE}  accuracy: {min: 0.90}\n`);
  assert.equal(line(putBound(FILE, "latency_ms", "max", "2e1"), "latency_ms"), "latency_ms: {max: 2e+1} # on the telephone");
  assert.equal(line(putBound(FILE, "latency_ms", "max", ""), "latency_ms"), "latency_ms: {} # on the telephone");
  assert.equal(renamedLimit(two, "accuracy", "latency_ms"), false);
  assert.equal(renamedLimit(two, "accuracy", " "), false);
  assert.equal(dropLimit(two, "accuracy"), FILE);
  assert.doesNotMatch(dropLimit(FILE, "latency_ms"), /limits/);
  assert.equal(addLimit("metric: a\nrun_cap: 3\n"), "metric: a\nlimits:\n  limit_1: {}\nrun_cap: 3\n");
});

test("limits that rows can't say are kept as they are", () => {
  for (const odd of ["limits: {a: {max: 1, soft: true}}\n", "limits: [a]\n", "limits: {a: 3}\n"]) {
    assert.equal(sheet(odd).limits, null, odd);
    assert.deepEqual(sheet(odd).others, ["limits"]);
  }
});

test("a change to one condition leaves those be that an alias shares with it", () => {
  const head = "parameters:\n  a: {values: [x, y]}\n";
  const text = `${head}  b: {min: 1, max: 2, when: &w {a: x}} # b's\n  c: {min: 1, max: 2, when: *w}\n  d: {min: 1, max: 2, when: *w}\n`;
  const both = [{ name: "a", values: ["x", "y"] }];
  const rest = "  c: {min: 1, max: 2, when: &w {a: x}}\n  d: {min: 1, max: 2, when: *w}\n";
  assert.equal(putOnly(text, row(text, "b"), both), `${head}  b: {min: 1, max: 2, when: {a: [x, y]}} # b's\n${rest}`);
  assert.deepEqual(row(text, "c").only, [{ name: "a", values: ["x"] }]);
  assert.equal(putOnly(text, row(text, "c"), both), text.replace("c: {min: 1, max: 2, when: *w}", "c: {min: 1, max: 2, when: {a: [x, y]}}"));
  const whole = `${head}  b: &p {min: 1, max: 2, when: {a: x}}\n  c: *p\n`;
  const kept = "  c: &p {min: 1, max: 2, when: {a: x}}\n";
  assert.equal(putOnly(whole, row(whole, "b"), both), `${head}  b: {min: 1, max: 2, when: {a: [x, y]}}\n${kept}`);
  assert.equal(putOnly(whole, row(whole, "b"), []), `${head}  b: {min: 1, max: 2}\n${kept}`);
  assert.equal(putPart(whole, row(whole, "b"), "when", "a != 'x'"), `${head}  b: {min: 1, max: 2, when: a != 'x'}\n${kept}`);
  assert.equal(putOnly(whole.replace("  c: *p\n", ""), row(whole, "b"), both), `${head}  b: &p {min: 1, max: 2, when: {a: [x, y]}}\n`); // no alias: it stays its own
});

test("a condition on a parameter that is an alias writes it out", () => {
  const only = [{ name: "a", values: ["x"] }];
  const of = (source: string): string => {
    const text = `parameters:\n  a: {values: [x, y]}\n  s: &s ${source}\n  c: *s # as s\n`;
    const made = putOnly(text, row(text, "c"), only);
    assert.equal(made.replace(/ {2}c: .*\n/, ""), text.replace(/ {2}c: .*\n/, ""));
    assert.deepEqual(row(made, "c").only, only);
    return line(made, "c");
  };
  assert.equal(of("{min: 1, max: 2}"), "c: {min: 1, max: 2, when: {a: x}} # as s");
  assert.equal(of("{min: 1, max: 2, when: {a: y}} # s's"), "c: {min: 1, max: 2, when: {a: x}} # as s");
  assert.equal(of("{values: &v [&one 1, 2, *one]}"), "c: {values: [1, 2, 1], when: {a: x}} # as s"); // an anchor may stand only once
  assert.equal(of("[1, 2]"), "c: {values: *s, when: {a: x}} # as s");
  assert.equal(of("3"), "c: {value: *s, when: {a: x}} # as s");
  const text = "parameters:\n  a: {values: [x, y]}\n  s: &s {min: 1, max: 2, when: {a: y}}\n  c: *s\n";
  assert.deepEqual(row(text, "c").only, [{ name: "a", values: ["y"] }]);
  assert.equal(line(putKind(text, row(text, "c"), "constant"), "c"), "c: {value: 1, when: {a: y}}");
  assert.equal(putOnly(text, row(text, "c"), []), text.replace("*s", "{min: 1, max: 2}"));
  const round = "parameters:\n  s: &s {min: 1, max: *s}\n  c: *s\n"; // soon
  assert.equal(line(putOnly(round, row(round, "c"), only), "c"), "c: {min: 1, max: null, when: {a: x}}");
});

test("whatever the name and the value, the expression is Python's", () => {
  const of = (name: string, ...values: string[]): string => expressionOf([{ name, values }]);
  assert.equal(of("lambda", "1"), "params['lambda'] == 1");
  assert.equal(of("net.class", "1"), "params['net.class'] == 1");
  assert.equal(of("a'\n\\", "1"), "params['a\\'\\n\\\\'] == 1");
  assert.equal(of("match", "1", ".5", "1.", "-1.5e-3", "1.e+3", "+0"), "match in [1, .5, 1., -1.5e-3, 1.e+3, +0]"); // as they are written
  assert.equal(of("a", "012", "1:30", "0b11", "0x1F", "1_000", "-012"), "a in [10, 90, 3, 31, 1000, -10]");
  assert.equal(of("a", ".inf", "-.Inf", ".nan"), "a in [float('inf'), float('-inf'), float('nan')]");
  assert.equal(of("a", "yes", "True", "~"), "a in [True, True, None]");
  const hard = ["a\nb", "\r\t", "\0\u001b", "it's", "\\n", "\u2028\ud800", "---", "*x"];
  const values = hard.map((one) => JSON.stringify(one));
  const made = of("a", ...values);
  assert.equal(made, String.raw`a in ['a\nb', '\r\t', '\x00\x1b', 'it\'s', '\\n', '\u2028\ud800', '---', '*x']`);
  const text = `parameters:\n  b: {min: 1, max: 2, when: ${JSON.stringify(made)}}\n`;
  assert.deepEqual(row(text, "b").only?.[0]?.values.map((one) => valuesOf(one)), values.map((one) => valuesOf(one)));
});

test("a value is one of the choices however it is written", () => {
  assert.deepEqual(boxesOf("True, False", ["true"]), [{ text: "True", isChosen: true }, { text: "False", isChosen: false }]);
  assert.deepEqual(boxesOf("1.0, 2, 2.0", ["1", '"2"', "0x3"]), [
    { text: "1.0", isChosen: true },
    { text: "2", isChosen: false },
    { text: '"2"', isChosen: true }, // text is no number
    { text: "0x3", isChosen: true },
  ]);
  assert.deepEqual(boxesOf("'a', ~, .nan", ["a", "null", ".NaN"]).map((one) => one.isChosen), [true, true, true]);
});

test("limits whose names are numbers can be changed, and there are no twins", () => {
  const text = "limits: {1: {max: 2}, b: {min: 3}}\n";
  assert.equal(putBound(text, "1", "max", "5"), "limits: {1: {max: 5}, b: {min: 3}}\n");
  assert.equal(dropLimit(text, "1"), "limits: {b: {min: 3}}\n");
  assert.equal(renamedLimit(text, "b", "1"), false);
  assert.equal(renamedLimit(text, "1", "c"), "limits: {c: {max: 2}, b: {min: 3}}\n");
});

test("limits without any can be added to", () => {
  assert.deepEqual(sheet("limits:\n").limits, []);
  assert.equal(addLimit("limits: # soon\nseed: 1\n"), "limits:\n  # soon\n  limit_1: {}\nseed: 1\n");
  assert.equal(addLimit("limits: {}\n"), "limits: {limit_1: {}}\n");
});
