"""Who may talk to an OPC UA server and how: addresses, users, certificates, and a session that is always ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncua import Client, ua
from asyncua.crypto import security_policies
from asyncua.crypto.uacrypto import CertProperties
from cryptography import x509

_SESSION_TIMEOUT_MS = 60_000
"""Of a session that is not heard of any more: servers have few, and a client that was killed does not end its own."""
_OWN_WATCHDOG_S = 3600.0
"""asyncua's own would end a connection that is merely slow; the subscription is watched by us."""

# At lower levels asyncua logs whole requests, the password among them, and each loss of a server with a traceback.
logging.getLogger("asyncua").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Access:
    """Where a server is and what proves who we are; files are read for each connection anew, so that they may be replaced."""

    url: str
    username: str = ""
    password_file: Path | None = None
    policy: str = ""
    mode: str = "SignAndEncrypt"
    certificate_file: Path | None = None
    key_file: Path | None = None
    server_certificate_file: Path | None = None

    async def client(self, timeout_s: float) -> Client:
        """A client that has not connected yet. Raises OSError or ValueError that names a file which cannot be used."""
        client = Client(self.url, timeout=timeout_s, watchdog_intervall=_OWN_WATCHDOG_S)
        client.name = client.description = "shiftwatch"
        client.application_uri, client.product_uri = "urn:shiftwatch", "urn:shiftwatch"
        client.session_timeout = _SESSION_TIMEOUT_MS
        if self.username:
            client.set_user(self.username)
        if self.password_file is not None:
            client.set_password(_content(self.password_file).decode().strip())
        if self.policy:
            assert self.certificate_file is not None
            assert self.key_file is not None
            certificate = _content(self.certificate_file)
            client.application_uri = _application_uri(self.certificate_file, certificate) or client.application_uri
            await client.set_security(
                getattr(security_policies, f"SecurityPolicy{self.policy}"),
                _properties(certificate),
                _properties(_content(self.key_file)),
                server_certificate=_properties(_content(self.server_certificate_file)) if self.server_certificate_file else None,
                mode=ua.MessageSecurityMode[self.mode],
            )
        return client


@asynccontextmanager
async def connected(access: Access, timeout_s: float, close_s: float) -> AsyncIterator[Client]:
    """A session of a server. At the end nothing of it is left, whatever state the server is in, after at most `close_s`.

    All tasks of the running loop are taken for its own: asyncua's go on by themselves where a server does not answer.
    """
    client: Any = None
    try:
        client = await access.client(timeout_s)
        await client.connect()
        yield client
    finally:
        with suppress(Exception):
            if client is not None:
                await asyncio.wait_for(client.disconnect(), close_s)
        with suppress(Exception):
            if client is not None:
                client.disconnect_socket()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None


def _properties(content: bytes) -> CertProperties:
    return CertProperties(content, "pem" if content.startswith(b"-----BEGIN") else "der")


def _application_uri(path: Path, content: bytes) -> str:
    """The name under which the certificate was made: servers compare it with what the client calls itself."""
    try:
        is_text = content.startswith(b"-----BEGIN")
        certificate = x509.load_pem_x509_certificate(content) if is_text else x509.load_der_x509_certificate(content)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    except ValueError:
        raise ValueError(f"{path}: no certificate") from None
    return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), "")
