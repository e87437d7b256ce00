"""``whet ui``: the web page of the store, on this machine."""

from __future__ import annotations

import threading
import webbrowser

import click

from whet.cli import output, session
from whet.errors import WhetError

__all__ = ["command"]

_PORT = 8765


@click.command("ui")
@click.argument("what", metavar="[SWEEP]", required=False)
@click.option(
    "--port", type=click.IntRange(0, 65535), help=f"Default {_PORT}, or any that is free where that is taken."
)
@click.option("--no-browser", is_flag=True, help="Say where the page is, and open nothing.")
@output.json_option
def command(what: str | None, port: int | None, no_browser: bool, as_json: bool) -> None:
    """Open the web page, at a sweep or at all runs, and serve it to this machine until Ctrl-C.

    Where the store is a server already, its page is opened. For other machines: whet serve. JSON: a line {url, store} once it answers.
    """
    store = session.store()
    is_away = store.url.startswith(("http://", "https://"))
    place = f"/sweeps/{store.sweeps.find(what).id}" if what else "/"

    def show(url: str) -> None:
        if as_json:
            output.print_json({"url": f"{url}{place}", "store": store.shown}, lines=True)
        else:
            output.say(f"{store!r} is at {url}{place.rstrip('/')}")
        if not no_browser:  # a browser on the terminal would keep the server waiting
            threading.Thread(target=_open, args=(f"{url}{place}",), daemon=not is_away).start()

    if is_away:
        show(store.url)
        return

    from whet.server.guard import Door
    from whet.server.page import is_built
    from whet.server.serve import serve

    def ready(url: str) -> None:
        show(url)
        if not as_json:
            if not is_built():
                output.tell("the page has not been built in this checkout: make ui")
            if store.tokens.all():
                output.tell("it asks for a token, since this store has some: whet token list")
            output.tell("Ctrl-C ends it")

    try:
        serve(store, Door(), _PORT if port is None else port, ready=ready)
    except WhetError as error:
        if port is not None or error.problem != f"port {_PORT} of {Door().host} is taken":
            raise
        serve(store, Door(), 0, ready=ready)


def _open(url: str) -> None:
    try:
        webbrowser.open(url)
    except webbrowser.Error:
        return  # there is none: the address has been said
