"""A server in a thread of this process, on loopback; or none, and a client that calls the application itself."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["asking", "serving"]


@contextlib.contextmanager
def serving(app: Any, port: int = 0) -> Iterator[str]:
    """Serve `app` while the block runs, on a free port unless one is given; yields its URL."""
    import uvicorn

    from whet.server.process import Process

    pulse = getattr(getattr(app, "state", None), "pulse", None)
    listener = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    server = Process(config, pulse.end if pulse is not None else lambda: None)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def asking(app: Any, *, client: str = "127.0.0.1", host: str = "127.0.0.1:8765", **more: Any) -> Any:
    """Return starlette's test client for `app`, whose requests come from the address `client` and name the server `host`."""
    from starlette.testclient import TestClient

    return TestClient(app, f"http://{host}", client=(client, 50_000), **more)
