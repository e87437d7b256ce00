"""``whet token``: who may reach the store through a server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from whet.cli import format as shown
from whet.cli import output, session
from whet.cli.times import seconds

if TYPE_CHECKING:
    from whet.store.token import Token

__all__ = ["command"]


@click.group("token", no_args_is_help=True)
def command() -> None:
    """Make, list and revoke the tokens that `whet serve` asks for.

    They are the store's: run this where its server runs, with the same --store. Each of these has --json.
    """


@command.command("create")
@click.option("--scope", metavar="SCOPE", required=True, help="read, write (runs, metrics, sweeps) or admin (all, also to delete).")  # fmt: skip
@click.option("--project", "projects", metavar="NAME", multiple=True, help="Limit it to this project; may be repeated.")
@click.option("--expires", metavar="TIME", help="How long it is good: 12h, 30d, 8w; default: until it is revoked.")
@click.option("--name", default="", help="Who or what it is for.")
@output.json_option
def _create(scope: str, projects: tuple[str, ...], expires: str | None, name: str, as_json: bool) -> None:
    """Make a token, and print it: it is shown now and never again.

    The token alone is on stdout. JSON: {token, id, scope, projects, name, expires}.
    """
    from whet.store.token import Scope

    ends = None if expires is None else time.time() + seconds("--expires", expires)
    token, secret = session.store().tokens.create(Scope.of(scope), projects=projects, name=name, expires=ends)
    if as_json:
        found = _document(token)
        output.print_json(
            {"token": secret, **{key: found[key] for key in ("id", "scope", "projects", "name", "expires")}}
        )
        return
    output.say(secret)
    where = f"project{'s' * (len(token.projects) != 1)} {', '.join(map(shown.value, token.projects))}"
    output.tell(
        f"scope {token.scope.value}, {where if token.projects else 'all projects'}; keep it now, it can't be shown again: "
        f"WHET_TOKEN={secret[:12]}…"
    )


@command.command("list")
@output.json_option
def _list(as_json: bool) -> None:
    """List the tokens, newest first; those that are good for nothing any more, too.

    JSON: a list of {id, name, scope, projects, state, created, expires, revoked, used}.
    """
    tokens = session.store(look=True).tokens.all()
    if as_json:
        output.print_json([_document(token) for token in tokens])
        return
    if not tokens:
        output.tell("there is no token; make one with: whet token create --scope read")
        return
    output.table(
        ["id", "name", "scope", "projects", "state", "created", "used"],
        [
            [
                token.id,
                shown.value(token.name or None),
                token.scope.value,
                ", ".join(map(shown.value, token.projects)) or "all",
                _shown_state(token),
                shown.ago(token.created),
                shown.ago(token.used),
            ]
            for token in tokens
        ],
        keep=["id", "scope", "state"],
        elastic="name",
        more="--json has everything",
    )


@command.command("revoke")
@click.argument("which", metavar="ID…", nargs=-1, required=True)
@click.option("--forget", is_flag=True, help="Delete it, too. Without any token this machine needs none.")
@output.json_option
def _revoke(which: tuple[str, ...], forget: bool, as_json: bool) -> None:
    """Make tokens (their ids, or names) good for nothing. A server that runs knows it within two seconds.

    JSON: a list of what `whet token list` has of them.
    """
    tokens = session.store().tokens
    ids = [tokens.find(text).id for text in which]  # all are there, or nothing is done
    done = [tokens.revoke(id) for id in dict.fromkeys(ids)]
    if forget:
        for token in done:
            tokens.forget(token.id)
    if as_json:
        output.print_json([_document(token) for token in done])
        return
    for token in done:
        output.say(f"{'forgot' if forget else 'revoked'} {token.id}")


def _state(token: Token, now: float) -> str:
    return "revoked" if token.revoked is not None else "good" if token.is_live(now) else "expired"


def _shown_state(token: Token) -> str:
    now = time.time()
    state = _state(token, now)
    return f"{state} for {shown.duration(token.expires - now)}" if state == "good" and token.expires else state


def _document(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "scope": token.scope,
        "projects": list(token.projects),
        "state": _state(token, time.time()),
        "created": token.created,
        "expires": token.expires,
        "revoked": token.revoked,
        "used": token.used,
    }
