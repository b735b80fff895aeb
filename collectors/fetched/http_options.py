"""Where a text is fetched by HTTP and who may read it: options and connection that all collectors over HTTP share."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from collectors.collector import CollectError, Options
from collectors.fetched.http_text import Answer, HttpText, is_loopback, port_of, shown


class HttpOptions(Options):
    """An address, how long and how much to read, and what proves who we are."""

    url: str
    """http://, https:// or file://."""
    request_timeout_s: float = Field(default=5.0, gt=0)
    """For the connection, and for the whole answer."""
    max_bytes: int = Field(default=64_000_000, ge=1)
    """An answer that is larger is refused."""
    bearer_token: SecretStr | None = None
    """A token that the server asks for; better in a file."""
    bearer_token_file: Path | None = None
    """Read anew each time, so that it may be replaced."""
    token_header: str = Field(default="Authorization", pattern=r"^[A-Za-z0-9-]+$")
    """Servers that want the token by itself in a header of their own: "X-Rucio-Auth-Token"."""
    username: str = ""
    """For a server that asks for a name and a password."""
    password: SecretStr | None = None
    """Of `username`; better in a file."""
    password_file: Path | None = None
    """Read anew each time."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's. Certificates are always verified."""
    certificate_file: Path | None = None
    """The client's own certificate, where the server asks for one."""
    key_file: Path | None = None
    """The private key of `certificate_file`, where it is not in the same file."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        port_of(parts)
        if parts.scheme == "file" and parts.path and parts.netloc in ("", "localhost"):
            return url
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not an address: http://HOST:PORT/PATH, https://… or file:///PATH")
        if parts.username or parts.password:
            raise ValueError("put user and password into `username` and `password_file`, not into the address")
        return url

    @model_validator(mode="after")
    def _check_secrets(self) -> HttpOptions:
        tokens = [self.bearer_token, self.bearer_token_file]
        passwords = [self.password, self.password_file]
        given = [secret for secret in (*tokens, *passwords) if secret is not None]
        if len(given) > 1 or bool(self.username) != any(secret is not None for secret in passwords):
            raise ValueError("give one of bearer_token, bearer_token_file, or username with password or password_file")
        parts = urlsplit(self.url)
        if given and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ValueError("a secret must not go over http:// to another machine; use https://")
        return self


class HttpSource:
    """The server of some options. Files (file://) are not read by this class."""

    def __init__(self, options: HttpOptions, *, accept: str = "application/json") -> None:
        self._options = options
        self._accept = accept
        self._http = HttpText(
            timeout_s=options.request_timeout_s,
            max_bytes=options.max_bytes,
            ca_file=str(options.ca_file) if options.ca_file else None,
            certificate_file=str(options.certificate_file) if options.certificate_file else None,
            key_file=str(options.key_file) if options.key_file else None,
        )

    @property
    def address(self) -> str:
        """The address as it may be shown."""
        return shown(self._options.url)

    def get(self) -> Answer:
        """The whole answer to a GET. Raises CollectError."""
        return self._http.get(self._options.url, {"Accept": self._accept, **self._authorization()})

    def post(self, body: bytes, content_type: str = "application/json") -> Answer:
        """The whole answer to a POST. Raises CollectError."""
        headers = {"Accept": self._accept, "Content-Type": content_type, **self._authorization()}
        return self._http.post(self._options.url, headers, body)

    def close(self) -> None:
        """Ends all connections."""
        self._http.close()

    def _authorization(self) -> Mapping[str, str]:
        """The header that proves who we are, read anew where it comes from a file. Raises CollectError."""
        options = self._options
        if options.bearer_token or options.bearer_token_file:
            token, name = _secret(options.bearer_token, options.bearer_token_file), options.token_header
            if not (token.isascii() and token.isprintable()):  # what puts headers together would tell the whole of it in its error
                raise CollectError(f"{options.bearer_token_file or 'bearer_token'}: not a token: one line of ASCII characters")
            return {name: f"Bearer {token}" if name.lower() == "authorization" else token}
        if options.username:
            proof = f"{options.username}:{_secret(options.password, options.password_file)}"
            return {"Authorization": f"Basic {b64encode(proof.encode()).decode()}"}
        return {}


def _secret(secret: SecretStr | None, path: Path | None) -> str:
    if secret is not None:
        return secret.get_secret_value()
    assert path is not None
    try:
        found = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CollectError(f"{path}: {getattr(error, 'strerror', None) or 'not a text'}") from None
    if not found:
        raise CollectError(f"{path}: it is empty")
    return found
