/** What a preview says, in words; and where in the form what is wrong belongs. */
import { count } from "./format.ts";

export interface Fault {
  problem: string;
  fix: string;
  line: number | null;
  path: string;
}

interface Preview {
  grid_size: number | null;
  num_trials: number | null;
  config: Record<string, unknown> | null;
}

const large = (number: number): string => (number < 1e15 ? number.toLocaleString("en") : number.toExponential(2).replace("e+", "e"));

/** How many trials there will be, and what the cap means for that. */
export function outlook({ grid_size: grid, num_trials: trials, config }: Preview): { number: string; unit: string; why: string } {
  const cap = typeof config?.["run_cap"] === "number" ? config["run_cap"] : null;
  const method = typeof config?.["method"] === "string" ? config["method"] : String((config?.["method"] as { name?: unknown } | undefined)?.name ?? "");
  const ends = config?.["terminate"] ? " terminate may end it sooner." : "";
  if (grid !== null) {
    const all = `A grid of ${count(grid, "configuration").replace(/^[\d,]+/, large(grid))}`;
    if (cap === null) return { number: large(grid), unit: grid === 1 ? "trial" : "trials", why: `${all}, each once; then it ends by itself.${ends}` };
    return cap < grid
      ? { number: large(cap), unit: cap === 1 ? "trial" : "trials", why: `${all}, of which the cap leaves ${large(grid - cap)} untried.${ends}` }
      : { number: large(grid), unit: grid === 1 ? "trial" : "trials", why: `${all}, each once: fewer than the cap of ${large(cap)}.${ends}` };
  }
  if (trials !== null) {
    const kind = method === "grid" ? "The grid is too intricate to be counted; t" : "T";
    return { number: large(trials), unit: trials === 1 ? "trial at most" : "trials at most", why: `${kind}he cap ends it: that many begin in all, over all agents, failed ones and early stops among them.${ends}` };
  }
  return { number: "∞", unit: "no end", why: `It goes on until somebody finishes it${config?.["terminate"] ? ", or terminate ends it" : ""}: set a run cap to have it end by itself.` };
}

/** The problem without the source, line and path before it: they are shown by themselves. */
export function bare(fault: Fault): string {
  const rest = fault.problem.replace(/^<config>(?::\d+)*:\s*/, "");
  return fault.path && rest.startsWith(`${fault.path}: `) ? rest.slice(fault.path.length + 2) : rest;
}

/** Whether a fault is about that key of the form, or about what stands below it. */
export const isAt = (fault: Fault, path: string): boolean => fault.path === path || fault.path.startsWith(`${path}.`) || fault.path.startsWith(`${path}[`);

/** The path of a parameter as faults write it. */
export const placeOf = (path: readonly string[]): string => ["parameters", ...path].join(".");
