"""Addresses of servers that are not URLs: HOST or HOST:PORT."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator


def split_address(address: str, default_port: int) -> tuple[str, int]:
    """Host and port; an address of IPv6 with a port stands in brackets. Raises ValueError."""
    if address.count(":") > 1 and not address.startswith("["):
        host, port = address, ""
    else:
        host, _, port = address.rpartition(":") if address.rpartition(":")[2].isdecimal() else (address, "", "")
    host = host.removeprefix("[").removesuffix("]")
    if not host or any(character in host for character in "/@[] \t") or (port and not 0 < int(port) < 65536):
        raise ValueError(f"{address!r}: write HOST or HOST:PORT")
    return host, int(port) if port else default_port


def _check(address: str) -> str:
    split_address(address, 1)
    return address


HostPort = Annotated[str, AfterValidator(_check)]
"""HOST or HOST:PORT; HOST may be an address of IPv6, in brackets where a port follows."""
