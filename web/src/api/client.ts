/** The one way to the server. What goes wrong comes back as a `Problem`, with the server's own words. */
import createClient from "openapi-fetch";
import { setReachable } from "./reachable.ts";
import type { components, paths } from "./schema.d.ts";

export type Schemas = components["schemas"];
export type RunLine = Schemas["RunLine"];
export type RunView = Schemas["RunView"];
export type SweepLine = Omit<Schemas["SweepRow"], "spark" | "spark_of">;
export type SweepRow = Schemas["SweepRow"];
export type SweepFull = Schemas["SweepFull"];
export type Stats = Schemas["Stats"];
export type SweepState = SweepLine["state"];
export type RunState = RunLine["state"];

/** What the server said is wrong, and what to do; status 0 where it said nothing. */
export class Problem extends Error {
  override name = "Problem";
  constructor(
    readonly status: number,
    message: string,
    readonly fix: string,
  ) {
    super(message);
  }
}

const AWAY = new Problem(0, "The server does not answer.", "See that whet serve is running where it was; the page goes on by itself once it is back.");

export const api = createClient<paths>({ credentials: "same-origin" });

api.use({
  async onResponse({ response }) {
    if (response.status !== 502 && response.status !== 504) setReachable(true);
    if (response.ok || response.status === 304) return;
    const said: unknown = await response.clone().json().catch(() => null);
    const { detail, fix } = (typeof said === "object" && said !== null ? said : {}) as { detail?: unknown; fix?: unknown };
    throw new Problem(
      response.status,
      typeof detail === "string" ? detail : `The server answered ${response.status} ${response.statusText}.`,
      typeof fix === "string" ? fix : "Try again; if it stays so, see what the server printed.",
    );
  },
  onError({ error }) {
    if (error instanceof DOMException && error.name === "AbortError") return error;
    setReachable(false);
    return AWAY;
  },
});

/** What a request answered; its errors are thrown already. */
export async function ok<T>(request: Promise<{ data?: T }>): Promise<T> {
  return (await request).data as T;
}
