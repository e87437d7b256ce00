/** The keyboard: one list of keys, which is also what `?` shows. */
import { useEffect, useRef } from "react";

export interface Key {
  /** As it is typed: `?`, `/`, `g r`. */
  keys: string;
  does: string;
  act: () => void;
}

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));

const OFF = "whet.keys";

/** Whether single keys act: WCAG 2.1.4 wants a way to turn them off, for those who speak to their browser. */
export function areKeysOn(): boolean {
  try {
    return localStorage.getItem(OFF) !== "off";
  } catch {
    return true;
  }
}

export function setKeysOn(on: boolean): void {
  try {
    if (on) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "off");
  } catch {
    // a browser that keeps nothing has them on
  }
}

/** The longest pause between the two keys of `g r`, milliseconds. */
const PAUSE_MS = 1000;

/** Act on keys wherever the reader does not write. */
export function useKeys(keys: readonly Key[]): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    let before = "";
    let at = 0; // when it was pressed, by the event's own clock: a page that is busy meanwhile forgets no key
    const listen = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target) || !areKeysOn()) return;
      if (document.querySelector("dialog[open]")) return;
      const typed = before && event.timeStamp - at < PAUSE_MS ? `${before} ${event.key}` : event.key;
      const found = latest.current.find((one) => one.keys === typed) ?? latest.current.find((one) => one.keys === event.key);
      if (found) {
        before = "";
        event.preventDefault();
        found.act();
        return;
      }
      before = latest.current.some((one) => one.keys.startsWith(`${event.key} `)) ? event.key : "";
      at = event.timeStamp;
    };
    document.addEventListener("keydown", listen);
    return () => document.removeEventListener("keydown", listen);
  }, []);
}
