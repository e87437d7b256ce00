import assert from "node:assert/strict";
import test from "node:test";
import { again } from "../src/lib/again.ts";

test("a run is made again at its commit, in its folder, by its command", () => {
  const meta = { command: ["python", "my train.py", "--lr=0.1"], cwd: "/w/net/a b", git: { commit: "abc", root: "/w/net" } };
  assert.deepEqual(again(meta, { lr: 0.1 }), { lines: "git checkout abc\ncd 'a b'\npython 'my train.py' --lr=0.1", notes: [] });
});

test("what the command does not bring back is said", () => {
  const found = again({ command: "python train.py --token=***", cwd: "/w/network", git: { commit: "abc", root: "/w/net", dirty: true } }, { lr: 1, depth: 2 });
  assert.equal(found?.lines, "git checkout abc\npython train.py --token=***");
  assert.equal(found?.notes.length, 3);
  assert.match(found?.notes[2] ?? "", /lr, depth/);
});

test("without a command nothing is claimed", () => {
  for (const meta of [{}, { command: [] }, { command: 7 }, { git: null }]) assert.equal(again(meta, {}), null);
});
