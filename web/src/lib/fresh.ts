/** What is done anew after changes: after the first one at once, after those that follow it closely once for all of them. */
const SOON_MS = 250;
const MOST_MS = 10_000;

export interface Fresh {
  /** Something changed. */
  changed: () => void;
  stop: () => void;
}

/** Keep something fresh by `act`, then call `done`. What takes long is done less often: it waits twice as long as it took, at most MOST_MS. */
export function fresh(act: () => Promise<unknown>, done: () => void = () => {}, now: () => number = () => performance.now()): Fresh {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let next = 0;
  let isRunning = false;
  let isDue = false; // it changed while it ran
  let isOver = false;
  const changed = (): void => {
    if (isOver) return;
    if (isRunning) isDue = true;
    else timer ??= setTimeout(() => void run(), Math.max(0, next - now()));
  };
  const run = async (): Promise<void> => {
    const begun = now();
    timer = undefined;
    isRunning = true;
    isDue = false;
    await act().catch(() => {}); // who asked is told by the question itself
    isRunning = false;
    const ended = now();
    next = ended + Math.min(MOST_MS, Math.max(SOON_MS, 2 * (ended - begun)));
    if (isOver) return;
    done();
    if (isDue) changed();
  };
  return {
    changed,
    stop: () => {
      isOver = true;
      clearTimeout(timer);
    },
  };
}
