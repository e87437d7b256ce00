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
@click.option("--blobs", metavar="PLACE", help="Where the files of runs are kept: a folder, or s3://… (or WHET_BLOBS); default: beside the database.")  # fmt: skip
@click.option("--max-file", metavar="SIZE", help="The largest file that is taken: 10GB; default: any.")
@click.option("--quota", metavar="SIZE", help="How much of files each project may have: 500GB; default: any.")
@output.json_option
@click.pass_context
def command(
    context: click.Context,
    host: str,
    port: int,
    store_url: str | None,
    names: tuple[str, ...],
    proxies: tuple[str, ...],
    blobs: str | None,
    max_file: str | None,
    quota: str | None,
    as_json: bool,
) -> None:
    """Serve the store over HTTP, until Ctrl-C.

    At 127.0.0.1 it is this machine's alone and asks for no token until there is one. Elsewhere every request needs a token: whet token
    create. JSON: a line {url, store, tokens} once it answers.
    """
    from whet.cli.sizes import num_bytes
    from whet.server import hosts
    from whet.server.guard import Door
    from whet.server.serve import serve
    from whet.store.files import Limits, LocalFiles

    if store_url is not None:
        session.apply(context, store_url=store_url, folder=None)
    if blobs is not None:
        session.put(context, "WHET_BLOBS", blobs)
    store = session.store()
    if isinstance(store.files, LocalFiles):
        store.files.limits = Limits(
            file_bytes=None if max_file is None else num_bytes("--max-file", max_file),
            project_bytes=None if quota is None else num_bytes("--quota", quota),
        )
        store.files.blobs.url  # noqa: B018 - what is wrong with the place is said now

    def ready(url: str) -> None:
        num_tokens = len(store.tokens.all())
        if as_json:
            output.print_json({"url": url, "store": store.shown, "tokens": num_tokens}, lines=True)
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
