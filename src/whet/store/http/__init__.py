"""The store behind a Whet server: the same verbs, each one request.

A request that gets no answer is sent again with the same key, and the server, which keeps its answers for a while, does nothing twice.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast, final

from whet.errors import Refused
from whet.store.base import Runs, Store, Sweeps, Trials
from whet.store.files import Files
from whet.store.http.client import Client
from whet.store.http.files import HttpFiles
from whet.store.http.tokens import NoTokens
from whet.store.http.turn import Turn
from whet.store.open import token_for
from whet.store.verbs import Verb, verbs

__all__ = ["HttpStore"]


@final
class HttpStore(Store):
    """The store at ``http://host:port`` or ``https://…``.

    The token stands before the host, ``https://TOKEN@host``, or is ``$WHET_TOKEN``, if that is this server's (`token_for`).

    Raises:
        StoreUnavailable: nobody answers there.
        StoreError: what answers is no Whet server, or one that is too old or too new.
        Refused: the token is missing, wrong, or does not allow it.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self.server = self.client = Client(url, token or token_for(url))
        self.url = self.client.url
        try:
            self.client.greet()
        except Refused as error:
            if self.client.token or not os.environ.get("WHET_TOKEN"):
                raise
            raise Refused(
                error.problem,
                f"WHET_TOKEN is for the server that WHET_STORE names: give this one's as {_with_token(self.url)}",
            ) from None
        self.sweeps = cast(Sweeps, _facet(Sweeps, "sweeps")(self.client))
        self.trials = cast(Trials, _facet(Trials, "trials")(self.client))
        self.runs = cast(Runs, _facet(Runs, "runs")(self.client))
        self.tokens = NoTokens(self.url)

    @cached_property
    def files(self) -> Files:
        return HttpFiles(self.client)

    @property
    def env(self) -> Mapping[str, str]:
        return {"WHET_STORE": self.url, "WHET_TOKEN": self.client.token or ""}  # or another server's would be inherited

    def close(self) -> None:
        self.client.close()

    def __repr__(self) -> str:
        return f"HttpStore({self.url!r})"


def _with_token(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}TOKEN@{rest}"


class _Facet:
    def __init__(self, client: Client) -> None:
        self._client = client


def _facet(kind: type, name: str) -> type:
    """Return the class of a facet: each abstract method asks the server."""
    methods: dict[str, Any] = {
        verb.name.partition(".")[2]: _asking(verb) for verb in verbs().values() if verb.name.startswith(f"{name}.")
    }
    if kind is Trials:
        methods["turn"] = lambda self, sweep, *, brief=False: Turn(self._client, sweep)
    return type(f"Http{kind.__name__}", (_Facet, kind), methods)


def _asking(verb: Verb) -> Any:
    def ask(self: Any, *args: object, **given: object) -> Any:
        return self._client.call(verb, args, given)

    ask.__name__, ask.__doc__ = verb.name.partition(".")[2], verb.doc
    return ask
