import { useEffect, useState } from "react";
import { Button } from "./Button.tsx";

/** Copy a text; says that it did. `what` goes on after the label, for those who hear it: "Copy" "the command". */
export function Copy({ text, what, label = "Copy" }: { text: string; what: string; label?: string }) {
  const [state, setState] = useState<"" | "Copied" | "Failed">("");
  useEffect(() => {
    if (!state) return;
    const timer = setTimeout(() => setState(""), 1500);
    return () => clearTimeout(timer);
  }, [state]);
  const copy = async (): Promise<void> => setState((await copied(text)) ? "Copied" : "Failed");
  return (
    <Button kind="quiet" onClick={copy} aria-label={`${state || label} ${what}`}>
      <span aria-live="polite">{state || label}</span>
    </Button>
  );
}

// Over plain HTTP, but for localhost, browsers have no clipboard for pages: the old way works there.
async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "offscreen";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
