"""The `[web]` section."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from collectors.collector import Options


class WebSettings(Options):
    """The page. Loopback unless configured otherwise; put a proxy with the experiment's log-in before it for others."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(default=9110, ge=0, le=65535)
    """0 takes a free port and logs it."""
    public_url: str = ""
    """Address under which people reach the page, for links in messages; http://HOST:PORT by default."""
    token_file: Path | None = None
    """Where it is given, labels need this token."""
    user_header: str = ""
    """Header in which a proxy hands over who has logged in ("X-Forwarded-User")."""
    ingest_token_file: Path | None = None
    """Where it is given, POST /ingest takes readings from whoever shows this token (collectors/README.md)."""
    ingest_max_bytes: int = Field(default=8_000_000, ge=1000)
    """Largest body of such a request, with all of its messages."""
