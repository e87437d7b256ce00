"""``whet serve``: the store for other machines, programs and the browser."""

from __future__ import annotations

import click

from whet.cli import output, session

__all__ = ["command"]


@click.command("serve")
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0: for other machines, with tokens.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any that is free.")
@click.option("--store", "store_url", metavar="URL", help="What to serve: sqlite:///…, postgresql://… (or WHET_STORE).")
@click.option("--allow-host", "names", metavar="NAME", multiple=True, help="A name that requests may call the server by; .example.org: all below.")  # fmt: skip
@click.option("--proxy", "proxies", metavar="ADDRESS", multiple=True, help="A proxy before the server, whose X-Forwarded-For is believed.")  # fmt: skip
@output.json_option
@click.pass_context
def command(
    context: click.Context,
    host: str,
    port: int,
    store_url: str | None,
    names: tuple[str, ...],
    proxies: tuple[str, ...],
    as_json: bool,
) -> None:
    """Serve the store over HTTP, until Ctrl-C.

    At 127.0.0.1 it is this machine's alone and asks for no token until there is one. Elsewhere every request needs a token: whet token
    create. JSON: a line {url, store, tokens} once it answers.
    """
    from whet.server import hosts
    from whet.server.guard import Door
    from whet.server.serve import serve

    if store_url is not None:
        session.apply(context, store_url=store_url, folder=None)
    store = session.store()

    def ready(url: str) -> None:
        num_tokens = len(store.tokens.all())
        if as_json:
            output.print_json({"url": url, "store": store.url, "tokens": num_tokens}, lines=True)
            return
        output.say(f"{store!r} is at {url}")
        token = "WHET_TOKEN=whet_… " if num_tokens else ""
        output.tell(f"use it: WHET_STORE={url} {token}whet agent SWEEP")
        output.tell("Ctrl-C ends it")

    for name in names:
        if hosts.place(name.removeprefix(".")) != (name.removeprefix(".").lower(), None):
            raise output.wrong_call(
                f"--allow-host got {name!r}, wanted a name",
                "give whet.example.org, or .example.org for all names below",
            )
    serve(store, Door(host=host, names=names, proxies=proxies), port, ready=ready)
