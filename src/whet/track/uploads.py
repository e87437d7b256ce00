"""A run's files on their way to a store that collects them, beside its metrics and after them.

What is there is asked for, so nothing is remembered: whoever comes later, from a copied folder too, goes on where it stopped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, final

from whet.blobs.base import digest_of, is_digest
from whet.errors import Damaged, NotFound, Refused, StoreUnavailable, TooLarge, WhetError
from whet.store.base import Artifact
from whet.store.files import Files, Standing, own_file
from whet.track.notices import Notices

__all__ = ["Sent", "Uploader", "send_content", "send_files"]

_PIECE_BYTES = 4 << 20
_TRIES = 3  # where what came is not what was sent, or somebody else sends the same


@dataclass(slots=True)
class Sent:
    """What was sent: files that are whole there now, bytes, and what can't be sent, (name, SHA-256), each with the reason."""

    num_files: int = 0
    num_bytes: int = 0
    left: dict[tuple[str, str], str] = field(default_factory=dict)


def send_files(
    files: Files,
    run: str,
    folder: Path,
    *,
    going: Callable[[], bool] = lambda: True,
    on_bytes: Callable[[int], None] = lambda count: None,
    past: frozenset[tuple[str, str]] = frozenset(),
) -> Sent:
    """Send those of a run's files that the store has not got, from the run's folder; they stay there.

    Args:
        folder: ``<whet dir>/runs/<run id>``, or a copy of it.
        going: Asked before each piece; False ends it.
        on_bytes: Told of each piece that has come.
        past: (name, SHA-256) of files that are left out.

    Raises:
        StoreUnavailable: try again later.
        NotFound: the run is not there.
        Refused: the token may not.
    """
    sent = Sent()
    if not files.collects:
        return sent
    there: set[str] = set()  # several names may have one content
    for one in files.standing(run):
        which = (one.artifact.name, one.artifact.sha256)
        if one.here or which in past or one.artifact.sha256 in there:
            continue
        try:
            done = _send(files, run, folder, one, going, lambda count: _note(sent, count, on_bytes))
        except NotFound:  # another file has this name by now, or the run is gone
            continue
        except TooLarge as error:
            sent.left[which] = str(error)
            continue
        if isinstance(done, str):
            sent.left[which] = done
        elif done:
            sent.num_files += 1
            there.add(one.artifact.sha256)
        else:
            break
    return sent


def _note(sent: Sent, count: int, on_bytes: Callable[[int], None]) -> None:
    sent.num_bytes += count
    on_bytes(count)


def _send(
    files: Files,
    run: str,
    folder: Path,
    one: Standing,
    going: Callable[[], bool],
    on_bytes: Callable[[int], None],
) -> bool | str:
    """Send one file; True: it is there, False: not `going`, a text: why it can't be."""
    artifact = one.artifact
    if not is_digest(artifact.sha256):
        return f"its record has no SHA-256, but {artifact.sha256!r:.80}"
    path = folder / "files" / artifact.name
    file = own_file(folder, artifact)
    if file is None:
        return f"{path} is gone, or has changed since it was kept"
    with file:
        return send_content(files, run, one, path, file, going=going, on_bytes=on_bytes)


def send_content(
    files: Files,
    run: str,
    one: Standing,
    path: Path,
    file: BinaryIO,
    *,
    going: Callable[[], bool] = lambda: True,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> bool | str:
    """Send a content that a run keeps from what has come of it on; True: it is there, False: not `going`, a text: why it can't be.

    Args:
        path: Where it is, and `file`, open.
        going: As for `send_files`, and so is `on_bytes`.

    Raises:
        TooLarge: it passes a limit.
        NotFound: the run keeps no such file any more.
        StoreUnavailable: try again later.
    """
    artifact, received, tries = one.artifact, one.received, 0
    while True:
        if not going():
            return False
        file.seek(received)
        piece = file.read(_PIECE_BYTES)
        try:
            now = files.send(run, artifact.sha256, received, piece)
        except Damaged:
            if not _is_same(path, artifact):
                return f"{path} has changed since it was kept"
            received, tries = 0, tries + 1
            if tries >= _TRIES:
                return "it came damaged, again and again"
            continue
        if now > received:
            on_bytes(len(piece))
        if now >= artifact.size:
            return True
        if not piece:
            return f"{path} has changed since it was kept"
        if now <= received:
            tries += 1
            if tries > _TRIES:
                raise StoreUnavailable(f"somebody else sends {artifact.name!r} of run {run}", "try again later")
        received = now


def _is_same(path: Path, artifact: Artifact) -> bool:
    try:
        return digest_of(path) == artifact.sha256
    except OSError:
        return False


@final
class Uploader:
    """The thread that sends one run's files while it goes on. It begins when it is first woken.

    When the store is not there it tries again, ever more rarely (0.5 s … 30 s); the metrics have a thread of their own.
    """

    def __init__(self, files: Files, run: str, folder: Path, notices: Notices) -> None:
        self._files = files
        self._run = run
        self._folder = folder
        self._notices = notices
        self._changed = threading.Condition()
        self._num_asked = self._num_done = 0
        self._closing = self._over = self._failed = False
        self._past: set[tuple[str, str]] = set()
        self._thread: threading.Thread | None = None
        self.num_bytes = 0

    def wake(self) -> None:
        """Say that the store knows of files that it may not have."""
        with self._changed:
            self._num_asked += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="whet-uploader", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def sync(self, timeout_s: float) -> bool:
        """Return once all that can be sent is there; False after `timeout_s`, or when that can't be."""
        with self._changed:
            target = self._num_asked
            self._changed.wait_for(lambda: self._num_done >= target or self._over, timeout_s)
            return self._num_done >= target and not self._failed

    def close(self) -> None:
        """End, after the piece at hand."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(1.0)

    def _work(self) -> None:
        pause_s = 0.0
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._num_asked > self._num_done or self._closing)
                    self._changed.wait_for(lambda: self._closing, pause_s)
                    if self._closing:
                        return
                    asked = self._num_asked
                done = self._try()
                pause_s = 0.0 if done else min(30.0, max(0.5, 2 * pause_s))
                if done:
                    with self._changed:
                        self._num_done = asked
                        self._changed.notify_all()
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _try(self) -> bool:
        """Send what is missing; False: again later."""
        try:
            sent = send_files(
                self._files,
                self._run,
                self._folder,
                going=lambda: not self._closing,
                on_bytes=self._count,
                past=frozenset(self._past),
            )
        except (NotFound, Refused) as error:
            self._failed = True
            self._notices.once(
                "upload-stop", f"this run's files are not sent to the store ({error}); they stay in {self._folder}"
            )
            return True
        except Exception as error:
            why = str(error) if isinstance(error, WhetError) else repr(error)
            self._notices.once(
                "upload-retry",
                f"the run's files can't be sent now ({why}); they stay in {self._folder} and are sent later",
            )
            return False
        for which, why in sent.left.items():
            self._past.add(which)
            self._notices.once(f"upload-{which[0]}", f"{which[0]!r} is not sent to the store: {why}")
        return True

    def _count(self, count: int) -> None:
        self.num_bytes += count
