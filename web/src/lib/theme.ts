/** Light or dark: the system's, until the reader chooses. */
import { useSyncExternalStore } from "react";
import { flushSync } from "react-dom";

export type Theme = "system" | "light" | "dark";

const told = new Set<() => void>();
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const paper = window.matchMedia("print"); // is always light
dark.addEventListener("change", changed);
paper.addEventListener("change", () => flushSync(changed)); // a sheet is not waited for

function changed(): void {
  const theme = chosen();
  document.documentElement.toggleAttribute("data-dark", !paper.matches && (theme === "dark" || (theme === "system" && dark.matches)));
  told.forEach((tell) => tell());
}

function chosen(): Theme {
  const theme = document.documentElement.dataset["theme"];
  return theme === "light" || theme === "dark" ? theme : "system";
}

export function setTheme(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  try {
    if (theme === "system") localStorage.removeItem("whet.theme");
    else localStorage.setItem("whet.theme", theme);
  } catch {
    // a browser that keeps nothing forgets it at the next load
  }
  changed();
}

const subscribe = (tell: () => void): (() => void) => {
  told.add(tell);
  return () => told.delete(tell);
};

/** Whether this is drawn for paper. */
export const isPaper = (): boolean => paper.matches;

export const usePaper = (): boolean => useSyncExternalStore(subscribe, isPaper);

/** Draw at the next frame; onto paper at once, for no frame comes before it. Returns what calls it off. */
export function drawSoon(draw: () => void): () => void {
  if (paper.matches) {
    draw();
    return () => {};
  }
  const frame = requestAnimationFrame(draw);
  return () => cancelAnimationFrame(frame);
}

export const useTheme = (): Theme => useSyncExternalStore(subscribe, chosen);
/** Changes whenever the colours do: for what is drawn on a canvas. */
export const usePalette = (): string => useSyncExternalStore(subscribe, () => `${chosen()} ${dark.matches} ${paper.matches}`);
