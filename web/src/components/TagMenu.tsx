/** Tags of one run or of many: which they have, to be taken away; a new one. */
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, ok } from "../api/client.ts";
import { count } from "../lib/format.ts";
import { tally } from "../lib/tags.ts";
import { Button } from "./Button.tsx";
import { Menu } from "./Menu.tsx";
import { useToasts } from "./Toast.tsx";

/** Change the tags of runs, all at once; then what is seen of them is asked again. */
export function useTags(ids: readonly string[]): (change: { add?: string[]; remove?: string[] }, said: string) => Promise<void> {
  const client = useQueryClient();
  const toasts = useToasts();
  return async (change, said) => {
    try {
      await ok(api.POST("/api/v1/runs:tag", { body: { ids: [...ids], add: change.add ?? [], remove: change.remove ?? [] } }));
      toasts.tell(said);
      await Promise.all([client.invalidateQueries({ queryKey: ["runs"] }), client.invalidateQueries({ queryKey: ["run"] })]);
    } catch (error) {
      toasts.fail(error);
    }
  };
}

const MOST_LENGTH = 100;

/** `tags`: those of each run, as far as they are known. */
export function TagMenu({ ids, tags }: { ids: readonly string[]; tags: readonly (readonly string[])[] }) {
  const [text, setText] = useState("");
  const change = useTags(ids);
  const runs = count(ids.length, "run");
  const known = tally(tags);
  return (
    <Menu label="Tags" kind="panel" align="left">
      <form
        className="picker"
        onSubmit={(event) => {
          event.preventDefault();
          const tag = text.trim();
          if (!tag) return;
          setText("");
          void change({ add: [tag] }, `${runs}: tag ${short(tag)} is on`);
        }}
      >
        <input type="search" aria-label="New tag" placeholder="New tag, then Enter" maxLength={MOST_LENGTH} value={text} onChange={(event) => setText(event.target.value)} />
        {known.length ? (
          <fieldset className="picker-list">
            <legend>on {ids.length === 1 ? "this run" : "these runs"}</legend>
            {known.map(([tag, num]) => (
              <label key={tag} title={tag}>
                <input
                  type="checkbox"
                  ref={(box) => {
                    if (box) box.indeterminate = num < tags.length;
                  }}
                  checked={num === tags.length}
                  onChange={() => void (num === tags.length ? change({ remove: [tag] }, `${runs}: tag ${short(tag)} is off`) : change({ add: [tag] }, `${runs}: tag ${short(tag)} is on`))}
                />
                <span>{tag}</span>
                {tags.length > 1 ? <span className="unit num">{num}</span> : null}
              </label>
            ))}
          </fieldset>
        ) : (
          <p className="note">No tags yet. With the tag <code>pinned</code> a run stands first in every table.</p>
        )}
        <div className="picker-end">
          <Button kind="quiet" type="submit" disabled={!text.trim()}>
            Add the tag
          </Button>
        </div>
      </form>
    </Menu>
  );
}

const short = (tag: string): string => (tag.length > 30 ? `${tag.slice(0, 30)}…` : tag);
