import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import { api, ok } from "../api/client.ts";
import { Command, said } from "./Status.tsx";

/** A token is shown once; from then on the browser has a cookie. */
export function Login() {
  const client = useQueryClient();
  const [wrong, setWrong] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    document.title = "Log in – Whet";
  }, []);
  const submit = async (event: FormEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault();
    const token = String(new FormData(event.currentTarget).get("token")).trim();
    setBusy(true);
    setWrong(null);
    try {
      await ok(api.POST("/api/v1/session", { body: { token } as never }));
      await client.resetQueries();
    } catch (error) {
      setWrong(error);
    } finally {
      setBusy(false);
    }
  };
  const problem = wrong === null ? null : said(wrong);
  return (
    <div className="status login">
      <h1>This server needs a token</h1>
      <form onSubmit={submit}>
        <label htmlFor="token">Token</label>
        <input id="token" name="token" type="password" autoComplete="current-password" required spellCheck={false} placeholder="whet_…" aria-invalid={problem !== null} aria-describedby={problem ? "token-wrong" : undefined} autoFocus />
        {problem ? (
          <p id="token-wrong" role="alert" className="wrong">
            {problem.title} {problem.fix}
          </p>
        ) : null}
        <button type="submit" className="button button-main" disabled={busy}>
          Log in
        </button>
      </form>
      <div className="status-text">Whoever keeps the server makes one, on its machine:</div>
      <Command text="whet token create --scope write" />
    </div>
  );
}
