"""``whet ui``: the web page of the store, on this machine."""

from __future__ import annotations

import sys
import threading
import webbrowser

import click

from whet.cli import output, session
from whet.errors import WhetError

__all__ = ["command"]

_PORT = 8765


@click.command("ui")
@click.argument("what", metavar="[SWEEP]", required=False)
@click.option("--port", type=click.IntRange(0, 65535), help=f"Default {_PORT}, or any that is free where that is taken.")
@click.option("--no-browser", is_flag=True, help="Say where the page is, and open nothing.")
@click.pass_context
def command(context: click.Context, what: str | None, port: int | None, no_browser: bool) -> None:
    """Open the web page, at a sweep or at all runs, and serve it to this machine until Ctrl-C.

    Where the store is a server already, its page is opened. For other machines: whet serve.
    """
    store = session.store()
    place = f"/sweeps/{store.sweeps.find(what).id}" if what else ""

    if store.url.startswith(("http://", "https://")):
        _open(f"{store.url}{place}", no_browser)
        return

    from whet.server.guard import Door
    from whet.server.page import is_built
    from whet.server.serve import serve

    def ready(url: str) -> None:
        output.say(f"{store!r} is at {url}{place}")
        if store.tokens.all():
            output.tell("it asks for a token, for there are some: whet token ls")
        if not is_built():
            output.tell("the page has not been built in this checkout: make ui")
        output.tell("Ctrl-C ends it")
        threading.Thread(target=_open, args=(f"{url}{place}", no_browser, True), daemon=True).start()

    try:
        serve(store, Door(), _PORT if port is None else port, ready=ready)
    except WhetError as error:
        if port is not None or "is taken" not in error.problem:
            raise
        serve(store, Door(), 0, ready=ready)


def _open(url: str, no_browser: bool, said: bool = False) -> None:
    opened = False
    if not no_browser:
        try:
            opened = webbrowser.open(url)
        except webbrowser.Error:
            opened = False
    if not opened and not said:
        output.say(url)
    sys.stdout.flush()
