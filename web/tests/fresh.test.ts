import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { fresh } from "../src/lib/fresh.ts";

/** Let time pass, and whatever follows from it happen. */
async function pass(clock: { now: number }, ms: number): Promise<void> {
  for (let i = 0; i < ms; i += 10) {
    clock.now += 10;
    mock.timers.tick(10);
    for (let n = 0; n < 10; n += 1) await Promise.resolve();
  }
}

/** Something that takes `takes` ms to be done anew; when that was begun, and how often it was done. */
function made(takes: number) {
  const clock = { now: 0 };
  const begun: number[] = [];
  const done: number[] = [];
  const act = (): Promise<void> => {
    begun.push(clock.now);
    return new Promise((resolve) => setTimeout(resolve, takes));
  };
  return { clock, begun, done, kept: fresh(act, () => done.push(clock.now), () => clock.now) };
}

test("the first change is heeded at once, those that follow it together", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { clock, begun, done, kept } = made(50);
  kept.changed();
  await pass(clock, 100);
  assert.deepEqual([begun.length, done.length], [1, 1]);
  for (let i = 0; i < 5; i += 1) kept.changed();
  await pass(clock, 1000);
  assert.equal(begun.length, 2);
  assert.ok((begun[1] as number) - (done[0] as number) >= 250, `${begun}`);
  mock.timers.reset();
});

test("a change while it is done is not lost, and what takes long is done a third of the time", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { clock, begun, done, kept } = made(1000);
  kept.changed();
  await pass(clock, 500);
  kept.changed();
  await pass(clock, 5000);
  assert.deepEqual([begun.length, done.length], [2, 2]);
  assert.ok((begun[1] as number) - (done[0] as number) >= 2000, `${begun}`);
  mock.timers.reset();
});

test("however long it takes, it waits ten seconds at most", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { clock, begun, done, kept } = made(20_000);
  kept.changed();
  await pass(clock, 10_000);
  kept.changed();
  await pass(clock, 25_000);
  assert.equal(begun.length, 2);
  assert.ok(Math.abs((begun[1] as number) - (done[0] as number) - 10_000) <= 20, `${begun} ${done}`);
  mock.timers.reset();
});

test("once it is stopped nothing is begun", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { clock, begun, done, kept } = made(100);
  kept.changed();
  await pass(clock, 50);
  kept.changed();
  kept.stop();
  await pass(clock, 2000);
  kept.changed();
  await pass(clock, 2000);
  assert.deepEqual([begun.length, done.length], [1, 0]);
  mock.timers.reset();
});

test("what fails is done again after the next change", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const clock = { now: 0 };
  let tries = 0;
  const kept = fresh(() => ((tries += 1), Promise.reject(new Error("away"))), undefined, () => clock.now);
  kept.changed();
  await pass(clock, 100);
  kept.changed();
  await pass(clock, 1000);
  assert.equal(tries, 2);
  mock.timers.reset();
});
