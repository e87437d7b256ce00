"""What every request passes first: is it meant for this server, whose page sent it, who asks, and how much does it say.

What the caller may do is looked at where the route is known (`whet.server.access`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whet.errors import Refused, StoreError, WhetError
from whet.server import hosts
from whet.server.access import EVERYBODY, NOBODY, Caller, Visit
from whet.server.keys import FRESH_S, Keys, caller_by
from whet.server.problems import problem
from whet.store.token import Token

__all__ = ["API", "SESSION", "Door", "Guard", "check", "cookie_name"]

API = "/api/v1"
SESSION = f"{API}/session"
_DESCRIPTION = f"{API}/openapi.json"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via"})
_SILENT_S = 60.0
_LOGIN_BYTES = 4096  # a token is 80
_ALL = frozenset({"", "0.0.0.0", "::"})  # what a server is bound to, but nobody calls it
_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
_OF_DATA = [
    *_ALWAYS,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
]
_OF_PAGES = [
    *_ALWAYS,
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
        b"connect-src 'self'; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
]
_log = logging.getLogger("whet.server")


class _Ended(Exception):
    """A token came to its end while an answer went out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where the server stands.

    Args:
        host: The address it is bound to.
        names: More names that requests may call it by; ``.example.org`` stands for all names below.
        proxies: Addresses of proxies before it, which may say who asks.
        body_bytes: The most that a request may say.
    """

    host: str = "127.0.0.1"
    names: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    body_bytes: int = 64 * 2**20

    @property
    def is_home(self) -> bool:
        """Whether only this machine is meant to reach it: a proxy, or a name that one is called by, shows it to others."""
        return hosts.is_loopback(self.host) and not self.names and not self.proxies


def cookie_name(scope: Scope) -> str:
    """Return the name of the session's cookie: a browser sends the cookies of one port to all, so it names the port."""
    return f"whet-{(scope.get('server') or ('', 0))[1] or 0}"


@final
class Guard:
    """Pure ASGI, around everything, so that the answers to errors pass it too."""

    def __init__(self, app: ASGIApp, *, keys: Keys, door: Door) -> None:
        self._app = app
        self._keys = keys
        self._door = door
        self._names = frozenset(name.lower() for name in (door.host, *door.names) if name not in _ALL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection."""
        if scope["type"] == "http":
            await _Request(self._app, self._keys, self._door, self._names, scope, receive, send).serve()
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:  # a web socket: there are none
            await send({"type": "websocket.close", "code": 1008})


@final
class _Request:
    """One request on its way in, and its answer on the way out."""

    def __init__(
        self, app: ASGIApp, keys: Keys, door: Door, names: frozenset[str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._app = app
        self._keys = keys
        self._door = door
        self._names = names
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers: dict[bytes, bytes] = {}
        self._forwarded = self._twice = self._started = self._dropped = False
        for name, value in scope["headers"]:
            if name in self._headers:
                self._twice = self._twice or name in (b"host", b"origin", b"authorization", b"content-length")
            self._headers[name] = value
            self._forwarded = self._forwarded or name in _FORWARDED
        path: str = scope["path"]
        self._is_api = path == API or path.startswith(f"{API}/")
        self._path = path
        self._safe = scope["method"] in _SAFE
        client = scope.get("client")
        self._address: str = client[0] if client else ""
        self._left = door.body_bytes
        self._visit = Visit(NOBODY)
        self._pending = False  # there is more of the body to come
        self._is_own_page = False
        self._shown = ""
        self._look: Callable[[], Token | None] | None = None  # again, while a long answer goes out
        self._looked = 0.0

    def _header(self, name: bytes) -> str:
        return self._headers.get(name, b"").decode("latin-1")

    async def serve(self) -> None:
        """Answer."""
        try:
            refused = self._misdirected() or self._foreign() or self._too_large() or await self._identify()
            if refused is not None:
                await refused(self._scope, self._receive, self._out)
                return
            self._visit.enter(self._scope)
            await self._app(self._scope, self._in, self._out)
        except ClientDisconnect:
            return
        except _Ended:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        except WhetError as error:
            await self._fail(problem(error))
        except Exception:
            _log.exception("%s %s", self._scope["method"], self._path)
            ours = StoreError("the server failed at this", "see what it printed; if it happens again, please report it")
            await self._fail(problem(ours, 500))

    async def _fail(self, answer: Response) -> None:
        if self._started:  # it can't be taken back: the connection is cut
            raise RuntimeError("the answer broke off")
        await answer(self._scope, self._receive, self._out)

    # -- is it meant for us

    def _misdirected(self) -> Response | None:
        """Refuse a name that is not ours: a page of another site that had its name point here would be let in by its browser."""
        if self._twice:
            return problem(Refused("a header came twice", "send each once"), 400, connection="close")
        named = hosts.place(self._header(b"host"))
        if named is not None:
            if hosts.is_loopback(named[0]) or hosts.is_allowed(named[0], self._names):
                return None
            here = self._scope.get("server")
            if here and named[0] == here[0] and hosts.is_address(named[0]):  # the address that it came to
                return None
        return problem(
            Refused(
                f"this server is not called {self._header(b'host')!r:.80}",
                "use its address, or start it with --allow-host NAME",
            ),
            421,
        )

    # -- whose page sent it

    def _foreign(self) -> Response | None:
        """Refuse what a page of another origin makes a browser send. Reading is left to the browser, which shows such a page nothing."""
        if self._safe:
            return None
        origin, site = self._header(b"origin"), self._header(b"sec-fetch-site")
        own = hosts.is_own(origin, self._header(b"host")) if b"origin" in self._headers else None
        if own is False or site in ("cross-site", "same-site"):
            return problem(
                Refused(
                    f"a page of {origin or 'another site'!r:.80} can't change anything here",
                    "use the server's own page; a proxy must hand on the Host header",
                )
            )
        self._is_own_page = own is True or site == "same-origin"
        return None

    # -- how much does it say

    def _too_large(self) -> Response | None:
        length = self._header(b"content-length")
        if self._path == SESSION:  # who has shown no token has little to say
            self._left = min(self._left, _LOGIN_BYTES)
        if length and not (length.isascii() and length.isdigit()):
            return problem(
                StoreError("content-length is no number", "send the length of the body"), 400, connection="close"
            )
        if length and int(length) > self._left:
            return problem(_too_much(self._left), 413, connection="close")
        self._pending = bool(length and int(length)) or b"transfer-encoding" in self._headers
        return None

    async def _in(self) -> Message:
        if not self._pending:
            return await self._receive()
        try:
            async with asyncio.timeout(_SILENT_S):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "the body stopped coming", {"Connection": "close"}) from None
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            self._pending = message.get("more_body", False)
            if self._left < 0:
                raise HTTPException(413, "the body is too large", {"Connection": "close"})
        return message

    # -- who asks

    async def _identify(self) -> Response | None:
        caller = await self._caller()
        if isinstance(caller, Response):
            return caller
        self._visit.caller = caller
        if self._path == _DESCRIPTION and caller.scope is not None:
            self._visit.admitted = True
        return None

    async def _caller(self) -> Caller | Response:
        keys = self._keys
        if self._is_at_home():
            none = keys.fresh_none()
            if await run_in_threadpool(keys.none) if none is None else none:
                return EVERYBODY
        scheme, _, secret = self._header(b"authorization").partition(" ")
        if scheme:
            if scheme.lower() != "bearer":
                return _unknown("the server takes tokens only", "send Authorization: Bearer TOKEN")
            return await self._by_secret(secret.strip())
        cookie = (
            cookie_parser(self._header(b"cookie")).get(cookie_name(self._scope), "")
            if b"cookie" in self._headers
            else ""
        )
        is_open = self._path == SESSION or (not self._is_api and self._safe)
        if cookie:
            if not self._safe and not self._is_own_page:
                return problem(
                    Refused(
                        "a session is for the server's own page", "send the token itself: Authorization: Bearer TOKEN"
                    )
                )
            self._shown, self._look = cookie, partial(keys.look_session, cookie)
            token = keys.fresh(cookie) or await run_in_threadpool(keys.look_session, cookie)
            if token is not None and keys.is_live(token):
                return caller_by(token)
            if not is_open:
                return _unknown("the session is over", f"log in again: POST {SESSION}")
        if is_open:
            return NOBODY
        return _unknown(
            "this server needs a token", "set WHET_TOKEN to one; whoever keeps the server makes it: whet token create"
        )

    def _is_at_home(self) -> bool:
        """Return whether both ends are on this machine, and nothing stands between that says otherwise."""
        return self._door.is_home and hosts.is_loopback(self._address) and not self._forwarded

    async def _by_secret(self, secret: str) -> Caller | Response:
        self._shown, self._look = secret, partial(self._keys.look, secret)
        token = self._keys.fresh(secret)
        if token is None:
            found = await run_in_threadpool(check, self._keys, secret, self._address)
            if isinstance(found, Response):
                return found
            token = found
        return caller_by(token) if self._keys.is_live(token) else _dead(token)

    # -- the answer

    async def _out(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self._is_api and message["status"] < 300 and not self._visit.admitted:
                self._dropped = True  # a route that nobody looked at what it needs: see `whet.server.access`
                _log.error("%s %s answers without having said what it needs", self._scope["method"], self._path)
                closed = Refused("this route does not say what it needs", "that is a mistake in Whet: please report it")
                await problem(closed)(self._scope, self._receive, self._finish)
                return
            self._started = True
            message["headers"] = self._finished(message.get("headers", ()))
            self._looked = time.monotonic()
        elif self._look is not None and message.get("more_body") and time.monotonic() - self._looked > FRESH_S:
            token = self._keys.fresh(self._shown) or await run_in_threadpool(self._look)
            if token is None or not self._keys.is_live(token):
                raise _Ended
            self._looked = time.monotonic()
        if not self._dropped:
            await self._send(message)

    async def _finish(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            message["headers"] = self._finished(message["headers"])
        await self._send(message)

    def _finished(self, headers: object) -> list[tuple[bytes, bytes]]:
        given: list[tuple[bytes, bytes]] = list(headers)  # type: ignore[call-overload]
        names = {name.lower() for name, _ in given}
        if self._is_api and b"cache-control" not in names:
            given.append((b"cache-control", b"no-store"))
        return given + [pair for pair in (_OF_DATA if self._is_api else _OF_PAGES) if pair[0] not in names]


def check(keys: Keys, secret: str, address: str) -> Token | Response:
    """Look up a secret, and return its token, or the refusal; asks the store.

    An address that failed too often waits, but for what was good a moment ago: others fail behind the same proxy.
    """
    counted = hosts.subnet(address)
    wait_s = keys.failures.wait_s(counted)
    if wait_s > 0 and not keys.was_good(secret):
        return problem(
            Refused("too many tokens from here were wrong", f"try again in {wait_s:.0f} s"),
            429,
            Retry_After=f"{wait_s + 1:.0f}",
        )
    token = keys.look(secret)
    if token is None:
        keys.failures.count(counted)
        return _unknown("the server does not know this token", "see that it is whole, and this server's")
    return token if keys.is_live(token) else _dead(token)


def _dead(token: Token) -> Response:
    how = "revoked" if token.revoked is not None else "expired"
    return _unknown(f"token {token.id} is {how}", "ask for another one: whet token create")


def _unknown(text: str, fix: str) -> Response:
    return problem(Refused(text, fix), 401, WWW_Authenticate='Bearer realm="whet"')


def _too_much(most: int) -> StoreError:
    return StoreError(f"the body is larger than {most} bytes", "send it in several pieces")
