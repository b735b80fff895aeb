"""Addresses of servers that are not URLs: HOST or HOST:PORT."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Annotated

from pydantic import AfterValidator

_HOST = r"[^\s:/@\[\]]+"
_PORT = r"(?::([0-9]{1,5}))?"
_PLAIN = re.compile(rf"({_HOST}){_PORT}")
_BRACKETED = re.compile(rf"\[([^\s/@\[\]]+)\]{_PORT}")


def split_address(address: str, default_port: int) -> tuple[str, int]:
    """Host and port; an address of IPv6 with a port stands in brackets. Raises ValueError."""
    found = _BRACKETED.fullmatch(address) or _PLAIN.fullmatch(address)
    if found is not None:
        host, port = found[1], found[2]
    elif is_ipv6(address):
        host, port = address, None
    else:
        raise ValueError(f"{address!r}: write HOST or HOST:PORT")
    if (":" in host and not is_ipv6(host)) or (port is not None and not 0 < int(port) < 65536):
        raise ValueError(f"{address!r}: write HOST or HOST:PORT")
    return host, default_port if port is None else int(port)


def joined_address(host: str, port: int) -> str:
    """HOST:PORT, with brackets around a host that is an address of IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_ipv6(host: str) -> bool:
    """Whether a host is an address of IPv6, also one with a zone ("fe80::1%eth0")."""
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


def _check(address: str) -> str:
    split_address(address, 1)
    return address


HostPort = Annotated[str, AfterValidator(_check)]
"""HOST or HOST:PORT; HOST may be an address of IPv6, in brackets where a port follows."""
