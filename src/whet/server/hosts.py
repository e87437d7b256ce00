"""Which host a request names and where it comes from, read strictly: what can't be read is nobody's."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

__all__ = ["Place", "is_address", "is_allowed", "is_loopback", "is_own", "place", "subnet"]

Place = tuple[str, int | None]
"""A host, in small letters, and a port where one is named."""

_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,62}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}[a-z0-9_])?)*\.?"
)
_PORT = re.compile(r"[0-9]{1,5}")
_PORTS = {"http": 80, "https": 443}


@lru_cache(maxsize=256)
def place(text: str) -> Place | None:
    """Return the host and port of a Host header, or None where it is none.

    Example:
        >>> place("LocalHost:8765"), place("[::1]"), place("evil@localhost")
        (('localhost', 8765), ('::1', None), None)
    """
    if text.startswith("["):
        host, end, rest = text[1:].partition("]")
        try:
            host = str(ipaddress.IPv6Address(host))
        except ValueError:
            return None
        if not end or (rest and not rest.startswith(":")) or "%" in host:
            return None
        port = rest[1:] if rest else None
    else:
        host, colon, rest = text.lower().partition(":")
        port = rest if colon else None
        if not text.isascii() or not _NAME.fullmatch(host):
            return None
        host = host.removesuffix(".")
    if port is None:
        return host, None
    if not _PORT.fullmatch(port) or int(port) > 65535:
        return None
    return host, int(port)


def is_address(host: str) -> bool:
    """Return whether `host` is an IP address: no other site's name can be made to be one."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine and nothing else can be: localhost, 127.0.0.0/8 or ::1."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def is_allowed(host: str, names: frozenset[str]) -> bool:
    """Return whether `host` is one of `names`; those that begin with a dot stand for every name below them."""
    return host in names or any(name.startswith(".") and host.endswith(name) for name in names)


def is_own(origin: str, host: str) -> bool:
    """Return whether a page of `origin` is a page of this server, which is called `host` (both as in their headers).

    The scheme is not compared: a proxy that speaks TLS may stand before the server.

    Example:
        >>> is_own("http://localhost:8765", "localhost:8765"), is_own("http://localhost:3000", "localhost:8765")
        (True, False)
    """
    scheme, mark, rest = origin.partition("://")
    there, here = place(rest), place(host)
    if not mark or scheme not in _PORTS or there is None or here is None:
        return False
    usual = _PORTS[scheme]
    return (there[0], there[1] or usual) == (here[0], here[1] or usual)


def subnet(address: str) -> str:
    """Return what stands for a client's address where clients are counted: an IPv6 client has 2**64 of them."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False).network_address)
    return str(ip)
