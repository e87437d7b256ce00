/** What a page shows in place of its contents: nothing there, not yet there, gone wrong. */
import type { ReactNode } from "react";
import { Problem } from "../api/client.ts";
import { Button } from "./Button.tsx";
import { Copy } from "./Copy.tsx";

/** Nothing is there: what would be, and the command that makes it. `whole`: there is nothing else on the page. */
export function EmptyState({ title, command, children, whole }: { title: string; command?: string; children?: ReactNode; whole?: boolean }) {
  const Title = whole ? "h1" : "h2";
  return (
    <div className="status">
      <Title>{title}</Title>
      {children ? <div className="status-text">{children}</div> : null}
      {command ? <Command text={command} /> : null}
    </div>
  );
}

/** A command to be copied. */
export function Command({ text }: { text: string }) {
  return (
    <div className="command">
      <code>{text}</code>
      <Copy text={text} what="the command" />
    </div>
  );
}

/** Something went wrong: what, and what to do. `whole`: there is nothing else on the page. */
export function ErrorState({ error, retry, whole }: { error: unknown; retry?: () => void; whole?: boolean }) {
  const { title, fix } = said(error);
  const Title = whole ? "h1" : "h2";
  return (
    <div className="status status-error" role="alert">
      <Title>{title}</Title>
      {fix ? <div className="status-text">{fix}</div> : null}
      {retry ? <Button onClick={retry}>Try again</Button> : null}
    </div>
  );
}

/** What an error says, as a sentence, and what to do. */
export function said(error: unknown): { title: string; fix: string } {
  if (error instanceof Problem) return { title: sentence(error.message), fix: sentence(error.fix) };
  return { title: "The page failed at this.", fix: `${error instanceof Error ? error.message : String(error)} – load it again; if it stays so, please report it.` };
}

// What begins with a name, as in `lr=12 is outside …`, keeps its first letter.
export const sentence = (text: string): string => (text ? `${/^[a-z]+[\s,]/.test(text) ? text[0]?.toUpperCase() : text[0]}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}` : "");

/** It is being asked for. Shown only after a moment, so that quick answers don't flicker. */
export function Loading({ what }: { what: string }) {
  return (
    <div className="status loading" role="status">
      Loading {what} …
    </div>
  );
}
