"""Requests to a Whet server: connections that are kept, questions that are asked again, errors that come back as they were raised."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import time
from collections.abc import Iterator, Mapping
from typing import Any, final
from urllib.parse import urlsplit

import urllib3

from whet import errors
from whet.errors import Refused, StoreError, StoreUnavailable, WhetError
from whet.store.codec import dump, load
from whet.store.verbs import API_VERSION, Verb

__all__ = ["API", "Client"]

API = "/api/v1"
_PATIENCE_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
_AGAIN = frozenset({502, 503, 504})
_CONNECT_S, _READ_S = 5.0, 60.0
_KEPT = 16  # connections
_PIECE_BYTES = 1 << 20

_BY_NAME: Mapping[str, type[WhetError]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, WhetError)
}


@final
class Client:
    """Talks to one server. Safe to use from several threads, and after a fork.

    Args:
        url: ``http://host:port`` or ``https://host/path``; a token may stand before the host.
        token: Shown to the server.
        patience_s: How long a request is sent again where nobody answers.
    """

    def __init__(self, url: str, token: str | None = None, *, patience_s: float = _PATIENCE_S) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise StoreError(
                f"{url!r} is no address ({error})", "give http://host:port, with a port up to 65535"
            ) from None
        if not parts.hostname:
            raise StoreError(f"{url!r} has no host", "give http://host:port")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.url = f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"
        self._patience_s = patience_s
        self._headers = {"Accept-Encoding": "gzip"}
        self.token = parts.username or token
        if self.token:
            self._headers["Authorization"] = f"Bearer {self.token}"
        self._pid = -1
        self._open()

    def _open(self) -> urllib3.PoolManager:
        if self._pid != os.getpid():  # a parent's connections are the parent's
            self._pool = urllib3.PoolManager(
                maxsize=_KEPT, retries=False, timeout=urllib3.Timeout(connect=_CONNECT_S, read=_READ_S)
            )
            self._pid = os.getpid()  # last: another thread looks at it first
        return self._pool

    def close(self) -> None:
        """Close all connections; harmless twice, and a later request opens one again."""
        self._open().clear()

    def greet(self) -> None:
        """See whether a Whet server is there that this Whet understands."""
        answer = self.get("")
        if not isinstance(answer, dict) or "whet" not in answer:
            raise StoreError(f"what answers at {self.url} is no Whet server", "check the address")
        if answer.get("api") != API_VERSION:
            raise StoreError(
                f"the server at {self.url} is Whet {answer['whet']}, whose API has version {answer.get('api')}, wanted {API_VERSION}",
                "use the same Whet on both sides",
            )

    def call(self, verb: Verb, args: tuple[object, ...], given: Mapping[str, object]) -> Any:
        """Have the server do `verb`, and return its result."""
        return verb.result(self.post(f"/verbs/{verb.name}", verb.arguments(args, given)))

    def get(self, path: str) -> Any:
        """Return what the server answers to GET."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: object, *, key: str | None = None) -> Any:
        """Return what the server answers to `body`; however often it is sent, it is acted upon once.

        The same holds for several calls with the same `key`.
        """
        return self._ask("POST", path, dump(body).encode(), key or secrets.token_hex(16))

    def patch(self, path: str, piece: bytes) -> Any:
        """Return what the server answers to a piece of a file, which it must not mind to get again."""
        return self._ask("PATCH", path, piece, kind="application/octet-stream")

    def stream(self, path: str, start: int, end: int | None) -> tuple[int, Iterator[bytes]]:
        """Return the status and the bytes [start, end) of what the server answers to GET, as they come. It is asked once.

        Raises:
            StoreUnavailable: nobody answers, also in the middle.
        """
        headers = {**self._headers, "Accept-Encoding": "identity"}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        with self._reached():
            answer = self._open().request("GET", f"{self.url}{API}{path}", headers=headers, preload_content=False)
            if answer.status >= 400:
                if answer.status in _AGAIN:
                    raise StoreUnavailable(f"the server {self.url} says {answer.status}", "try again later")
                self._read(answer)
        return answer.status, self._pieces(answer)

    def _pieces(self, answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        try:
            with self._reached():
                yield from answer.stream(_PIECE_BYTES, decode_content=False)
        finally:
            answer.close()  # not given back: what was not read would be the next answer

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except urllib3.exceptions.HTTPError as error:
            raise StoreUnavailable(
                f"the server {self.url} does not answer ({_in_words(error)})",
                "see that it runs (whet serve) and can be reached",
            ) from error

    def _ask(self, method: str, path: str, body: bytes | None, key: str = "", kind: str = "application/json") -> Any:
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = kind
        if key:
            headers["Idempotency-Key"] = key
        deadline: float | None = None
        pause = _FIRST_PAUSE_S
        while True:
            try:
                answer = self._open().request(method, f"{self.url}{API}{path}", body=body, headers=headers)
                why = f"it says {answer.status}"
                if answer.status not in _AGAIN:
                    return self._read(answer)
            except urllib3.exceptions.HTTPError as error:
                why = _in_words(error)
            deadline = (
                deadline or time.monotonic() + self._patience_s
            )  # from the first failure: an answer may take long
            if time.monotonic() + pause > deadline:
                raise StoreUnavailable(
                    f"the server {self.url} does not answer ({why})", "see that it runs (whet serve) and can be reached"
                )
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _read(self, answer: urllib3.BaseHTTPResponse) -> Any:
        try:
            found = load(answer.data) if answer.data else None
        except ValueError:
            raise StoreError(
                f"what answers at {self.url} is no Whet server (it says {answer.status} and no JSON)",
                "check the address",
            ) from None
        if answer.status < 400:
            return found
        raise _error(found if isinstance(found, dict) else {}, answer.status)


def _error(problem: Mapping[str, Any], status: int) -> WhetError:
    """Return the error that the server raised."""
    name = str(problem.get("type", "")).rpartition(":")[2]
    text, fix = str(problem.get("detail") or f"the server says {status}"), str(problem.get("fix") or "")
    kind = _BY_NAME.get(name, Refused if status in (401, 403) else StoreError)
    facts = problem.get("facts")
    return kind(text, fix, **(facts if isinstance(facts, dict) else {}))


def _in_words(error: Exception) -> str:
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return f"nothing came for {_READ_S:.0f} s"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "no connection"
    return str(error) or type(error).__name__
