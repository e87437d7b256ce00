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

/** Act on keys wherever the reader does not write. */
export function useKeys(keys: readonly Key[]): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    let before = "";
    let timer: ReturnType<typeof setTimeout> | undefined;
    const listen = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target) || !areKeysOn()) return;
      if (document.querySelector("dialog[open]")) return;
      const typed = before ? `${before} ${event.key}` : event.key;
      clearTimeout(timer);
      const found = latest.current.find((one) => one.keys === typed) ?? latest.current.find((one) => one.keys === event.key);
      if (found) {
        before = "";
        event.preventDefault();
        found.act();
        return;
      }
      before = latest.current.some((one) => one.keys.startsWith(`${event.key} `)) ? event.key : "";
      timer = setTimeout(() => {
        before = "";
      }, 1000);
    };
    document.addEventListener("keydown", listen);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("keydown", listen);
    };
  }, []);
}
