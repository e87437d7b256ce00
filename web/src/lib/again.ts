/** How a run is made again, from what it keeps of where it came from. */
import { quoted } from "./yaml.ts";

export interface Again {
  /** Lines for a shell. */
  lines: string;
  /** What they don't bring back. */
  notes: string[];
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** Return the commands that make a run again, or null where its command is not known. */
export function again(meta: Record<string, unknown>, params: Record<string, unknown>): Again | null {
  const given = meta["command"];
  const line = Array.isArray(given) ? given.map((word) => quoted(String(word))).join(" ") : text(given);
  if (!line) return null;
  const git = (typeof meta["git"] === "object" && meta["git"] !== null ? meta["git"] : {}) as Record<string, unknown>;
  const [commit, root, cwd] = [text(git["commit"]), text(git["root"]), text(meta["cwd"])];
  const below = root && cwd.startsWith(`${root}/`) ? cwd.slice(root.length + 1) : "";
  const notes: string[] = [];
  if (git["dirty"] === true) notes.push("Its code had changes that were not committed.");
  if (line.includes("***")) notes.push("What looked like a secret is not kept: put it in place of ***.");
  const missing = Object.keys(params).filter((name) => !line.includes(name));
  if (missing.length) notes.push(`The sweep gave it ${missing.length === 1 ? "a value" : "values"} that the command does not name: ${missing.slice(0, 8).join(", ")}${missing.length > 8 ? " …" : ""}.`);
  return { lines: [...(commit ? [`git checkout ${quoted(commit)}`] : []), ...(below ? [`cd ${quoted(below)}`] : []), line].join("\n"), notes };
}
