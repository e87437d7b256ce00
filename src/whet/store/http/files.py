"""The contents of runs' files behind a Whet server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final
from urllib.parse import quote

from whet.errors import NotFound, StoreUnavailable
from whet.store.files import Content, Files, Standing
from whet.store.http.client import Client
from whet.store.values import Artifact

__all__ = ["HttpFiles"]


@final
class HttpFiles(Files):
    """Pieces go to the server one request each; what is read comes in one."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def collects(self) -> bool:
        return True

    def standing(self, run: str) -> list[Standing]:
        found = self._client.get(f"/runs/{quote(run, safe='')}/artifacts")
        return [
            Standing(
                artifact=Artifact(**{name: one[name] for name in Artifact.__dataclass_fields__}),
                here=one.get("here", True),  # an older server takes none
                received=one.get("received", 0),
            )
            for one in found
        ]

    def send(self, run: str, sha256: str, offset: int, piece: bytes) -> int:
        path = f"/runs/{quote(run, safe='')}/uploads/{quote(sha256, safe='')}?offset={offset}"
        return int(self._client.patch(path, piece)["received"])

    def read(self, run: str, name: str, start: int = 0, end: int | None = None) -> Content:
        artifact = next((one.artifact for one in self.standing(run) if one.artifact.name == name), None)
        if artifact is None:
            raise NotFound(f"run {run} keeps no file {name!r}", f"whet artifacts ls {run}")
        end = artifact.size if end is None else max(0, min(end, artifact.size))
        start = max(0, min(start, end))
        if start == end and artifact.size:  # a range can't say "nothing"
            return Content(artifact=artifact, start=start, end=end, pieces=iter(()))
        whole = (start, end) == (0, artifact.size)
        path = f"/runs/{quote(run, safe='')}/artifacts/{quote(name, safe='/')}"
        status, pieces = self._client.stream(path, start, None if whole else end)
        if not whole and status != 206:
            raise StoreUnavailable(f"{self._client.url} sends no parts of files", "see what stands between: a proxy?")
        return Content(artifact=artifact, start=start, end=end, pieces=_counted(pieces, end - start))


def _counted(pieces: Iterator[bytes], wanted: int) -> Iterator[bytes]:
    """Yield the pieces; an answer that broke off is no end."""
    for piece in pieces:
        wanted -= len(piece)
        yield piece
    if wanted:
        raise StoreUnavailable("the server's answer broke off", "try again")
