"""Names of files that can't lead anywhere."""

from __future__ import annotations

import re

from whet.errors import TrackError

__all__ = ["is_safe", "safe_name"]

_DEVICES = re.compile(r"(?i)^(con|prn|aux|nul|conin\$|conout\$|com[\d¹²³]|lpt[\d¹²³]) *(\.|$)")
_MOST_BYTES = 200  # a part's: file systems take 255, and a draft's name is longer


def safe_name(name: str) -> str:
    """Return `name` as a relative path that can't leave a folder: no root, no drive, no ``..``, no control characters, no device.

    What is safe stays as it is: ``safe_name(safe_name(x)) == safe_name(x)``.

    Raises:
        TrackError: nothing of it is left.
    """
    parts = [_part(p) for p in re.split(r"[/\\]", name)]
    if not (parts := [p for p in parts if p]):
        raise TrackError(f"{name!r} names no file", "give the file a name, such as 'model.pt'")
    return "/".join(parts)


def is_safe(name: str) -> bool:
    """Return whether `name` is as `safe_name` leaves it."""
    try:
        return safe_name(name) == name
    except TrackError:
        return False


def _part(text: str) -> str:
    text = (
        re.sub(r'[\x00-\x1f\x7f<>:"|?*]', "_", text).lstrip(" ").rstrip(" .")
    )  # Windows drops dots and spaces at the end
    if _num_bytes(text) > _MOST_BYTES:
        text = text[: _MOST_BYTES - 1]
        while _num_bytes(text) > _MOST_BYTES - 1:
            text = text[:-1]
        text = text.rstrip(" .")
    return f"_{text}" if _DEVICES.match(text) else text


def _num_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
