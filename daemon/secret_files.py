"""Secrets come from files: systemd's credentials, Kubernetes' mounted secrets, or a file that only the daemon can read."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel

SECRETS = ("token_file", "password_file", "secret_file", "url_file", "ca_file")
"""How the names of options end that name a file with a secret, or with certificates."""


class SecretError(Exception):
    """A secret that cannot be read: names the key of the configuration and the file, never what is in it."""


def read_secret(path: Path, key: str) -> str:
    """The secret in a file, without white space around it. `$CREDENTIALS_DIRECTORY` and the like in the path are expanded.

    `key` is where the path stands in the configuration ("receiver.slack.token_file"). Raises SecretError.
    """
    expanded = Path(os.path.expandvars(path))
    try:
        secret = expanded.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SecretError(f"{key}: {error.strerror}: {expanded}") from None
    except UnicodeDecodeError:
        raise SecretError(f"{key}: not a text in UTF-8: {expanded}") from None
    if not secret:
        raise SecretError(f"{key}: empty: {expanded}")
    return secret


def unreadable(options: BaseModel, key: str) -> list[str]:
    """What is wrong with the files that options name, a line each; `key` is where the options stand in the configuration."""
    problems = []
    for name in type(options).model_fields:
        path = getattr(options, name)
        if name.endswith(SECRETS) and isinstance(path, Path):
            try:
                read_secret(path, f"{key}.{name}")
            except SecretError as error:
                problems.append(str(error))
    return problems
