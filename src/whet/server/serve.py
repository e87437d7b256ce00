"""Serve a store: one process, until it is told to end."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType

from whet.errors import MissingDependency, Refused, StoreError, WhetError
from whet.server import hosts
from whet.server.guard import Door
from whet.store.base import Store

__all__ = ["serve"]

_END_S = 10  # answers that take longer are cut when the server ends
_IDLE_S = 75
_FILES = 65_536
_SPARE = 256  # files that are no connections: the database's, the program's


def serve(store: Store, door: Door, port: int, *, ready: Callable[[str], None]) -> None:
    """Serve `store` at `door` until SIGINT (KeyboardInterrupt) or SIGTERM (SystemExit with 0); answers under way are finished.

    Args:
        store: Not one that is served itself.
        door: Where it stands; its host is a name or an address. X-Forwarded-For and X-Forwarded-Proto of its proxies are believed.
        port: 0: any that is free.
        ready: Called with the URL once connections are taken.

    Raises:
        Refused: others can reach it and there is no token.
        WhetError: the address is taken or none of this machine's.
        MissingDependency: uvicorn or FastAPI is not installed.
    """
    try:
        import uvicorn

        from whet.server.app import application
        from whet.server.process import Process
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("uvicorn", "fastapi", "starlette", "pydantic", "anyio"):
            raise
        raise MissingDependency.of(package, "server", "whet serve") from error
    _check(store, door)
    with contextlib.closing(_listener(door.host, port)) as listener:
        port = listener.getsockname()[1]
        if not hosts.is_loopback(door.host):
            door = replace(door, names=(*door.names, socket.gethostname()))
        most = _more_files()
        app = application(store, door)
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=bool(door.proxies),
            forwarded_allow_ips=list(door.proxies),
            limit_concurrency=most,
            timeout_keep_alive=_IDLE_S,
            timeout_graceful_shutdown=_END_S,
        )
        with _ends_with_0():
            ready(f"http://{_shown(door)}:{port}")
            Process(config, app.state.pulse.end).run(sockets=[listener])


def _check(store: Store, door: Door) -> None:
    if store.url.startswith(("http://", "https://")):
        raise StoreError(f"{store.url} is served already", "serve the store that is behind it, where it is")
    if not door.is_home and not any(token.is_live(time.time()) for token in store.tokens.all()):
        raise Refused(
            "others than this machine would reach this store, and it has no token that is good",
            "make one first: whet token create --scope admin (or serve this machine only, at 127.0.0.1, with no proxy)",
        )


def _listener(host: str, port: int) -> socket.socket:
    is_v6 = ":" in host
    try:
        both = host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if is_v6 else socket.AF_INET, backlog=2048, dualstack_ipv6=both
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise WhetError(
                f"port {port} of {host} is taken",
                "end what has it, or give another one: --port 0 takes any that is free",
            ) from error
        if error.errno == errno.EACCES:
            raise WhetError(f"port {port} is not for everybody", "give one above 1023") from error
        why = (error.strerror or str(error)).partition(" (while")[0]
        raise WhetError(
            f"can't serve at {host}:{port} ({why})", "give an address of this machine, or 0.0.0.0"
        ) from error


def _shown(door: Door) -> str:
    host = socket.gethostname() if door.host in ("0.0.0.0", "::", "") else door.host
    return f"[{host}]" if ":" in host else host


def _more_files() -> int | None:
    """Let the process have as many connections as the system allows, and return how many to take."""
    if os.name != "posix":
        return None
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return None if soft == resource.RLIM_INFINITY else max(64, soft - _SPARE)


@contextlib.contextmanager
def _ends_with_0() -> Iterator[None]:
    """Make SIGTERM an end like any other, so that what was opened is closed. The server hands it on when its answers are finished."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
