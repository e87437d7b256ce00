/** What is around every page: where one can go, whose data it is, and the keys. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useRouterState } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { api, ok, Problem } from "../api/client.ts";
import * as ask from "../api/queries.ts";
import { onReachable, isReachable, useReachable } from "../api/reachable.ts";
import { areKeysOn, type Key, setKeysOn, useKeys } from "../lib/keys.ts";
import { setTheme, type Theme, useTheme } from "../lib/theme.ts";
import { Dialog } from "./Dialog.tsx";
import { Login } from "./Login.tsx";
import { Item, Menu } from "./Menu.tsx";
import { ErrorState, Loading } from "./Status.tsx";

export function Shell() {
  const session = useQuery(ask.session);
  const client = useQueryClient();
  const navigate = useNavigate();
  const [help, setHelp] = useState(false);
  const path = useRouterState({ select: (state) => state.location.pathname });
  useEffect(() => onReachable(() => void (isReachable() && client.invalidateQueries())), [client]);

  const keys: Key[] = [
    { keys: "?", does: "Show these keys", act: () => setHelp(true) },
    { keys: "/", does: "Write a filter", act: () => document.getElementById("filter")?.focus() },
    { keys: "g r", does: "Go to runs", act: () => void navigate({ to: "/runs", search: {} }) },
    { keys: "g s", does: "Go to sweeps", act: () => void navigate({ to: "/sweeps", search: {} }) },
    { keys: "n s", does: "New sweep", act: () => void navigate({ to: "/sweeps/new", search: {} }) },
    { keys: "t", does: "Go into the table", act: () => document.querySelector<HTMLElement>("[role=grid]")?.focus() },
    { keys: "m", does: "Light, dark, as the system", act: () => setTheme(NEXT[theme]) },
  ];
  const theme = useTheme();
  useKeys(keys);

  const who = session.data;
  return (
    <>
      <a className="skip" href="#main">
        Skip to the page
      </a>
      <header className="bar">
        <Link to="/" className="mark" aria-label="Whet">
          <svg viewBox="0 0 32 32" width="20" height="20" aria-hidden="true">
            <path d="M4 8l6 17 6-13 6 13 6-17" fill="none" stroke="currentColor" strokeWidth="3.4" strokeLinecap="round" strokeLinejoin="round" />
          </svg>
          <span>Whet</span>
        </Link>
        <nav aria-label="Pages">
          <Link to="/runs" aria-current={path.startsWith("/runs") ? "page" : undefined}>
            Runs
          </Link>
          <Link to="/sweeps" aria-current={path.startsWith("/sweeps") ? "page" : undefined}>
            Sweeps
          </Link>
        </nav>
        <div className="bar-end">
          <Menu label={<Sign of={theme} />} name={`Colours: ${THEMES[theme]}`} align="right">
            {(close) =>
              (Object.keys(THEMES) as Theme[]).map((one) => (
                <Item key={one} checked={one === theme} onSelect={() => (setTheme(one), close())}>
                  {THEMES[one]}
                </Item>
              ))
            }
          </Menu>
          <button type="button" className="button" aria-label="Keys" title="Keys (?)" onClick={() => setHelp(true)}>
            ?
          </button>
          {who?.token ? (
            <Menu label={who.scope ?? ""} name={`${who.scope}: token ${who.token}`} align="right">
              {(close) => (
                <>
                  <p className="note">
                    Token {who.token}: {who.scope}, {who.projects ? `projects ${who.projects.join(", ")}` : "all projects"}
                  </p>
                  <Item
                    onSelect={() => {
                      close();
                      void ok(api.DELETE("/api/v1/session")).finally(() => {
                        client.clear();
                        location.reload();
                      });
                    }}
                  >
                    Log out
                  </Item>
                </>
              )}
            </Menu>
          ) : null}
        </div>
      </header>
      <Away />
      <main id="main" tabIndex={-1}>
        {who ? who.scope === null ? <Login /> : <Outlet /> : session.isError && !(session.error instanceof Problem && session.error.status === 0) ? <ErrorState whole error={session.error} retry={() => void session.refetch()} /> : session.isError ? <ErrorState whole error={session.error} /> : <Loading what="the page" />}
      </main>
      {help ? (
        <Dialog title="Keys" onClose={() => setHelp(false)}>
          <dl className="keys">
            {[...keys, ...MORE].map((one) => (
              <div key={one.keys}>
                <dt>
                  {one.keys.split(" ").map((key) => (
                    <kbd key={key}>{key}</kbd>
                  ))}
                </dt>
                <dd>{one.does}</dd>
              </div>
            ))}
          </dl>
          <label className="check">
            <input type="checkbox" defaultChecked={areKeysOn()} onChange={(event) => setKeysOn(event.target.checked)} /> Keys act without Ctrl or Alt
          </label>
        </Dialog>
      ) : null}
    </>
  );
}

const MORE = [
  { keys: "↑ ↓", does: "In a table: the row before, after (also k, j)" },
  { keys: "Home End", does: "In a table: the first row, the last" },
  { keys: "Page Up Page Down", does: "In a table: a page up, a page down" },
  { keys: "Enter", does: "In a table: open the row; with Ctrl in a tab of its own" },
  { keys: "Space", does: "In a table: choose the row; with Shift all up to it" },
  { keys: "Esc", does: "Close what is open" },
];

const THEMES: Record<Theme, string> = { system: "As the system", light: "Light", dark: "Dark" };
const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };

function Sign({ of }: { of: Theme }) {
  return (
    <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" fill="none" stroke="currentColor" strokeWidth="1.5">
      <circle cx="8" cy="8" r="6" />
      {of === "light" ? null : <path d={of === "dark" ? "M8 2a6 6 0 0 0 0 12 6 6 0 0 0 0-12z" : "M8 2a6 6 0 0 0 0 12z"} fill="currentColor" />}
    </svg>
  );
}

function Away() {
  return useReachable() ? null : (
    <div className="away" role="alert">
      The server does not answer. What you see may be old; the page goes on by itself once it is back.
    </div>
  );
}
