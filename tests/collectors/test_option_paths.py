"""Paths in options: systemd tells only by a variable where the secrets of a unit are."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.fetched.http_options import HttpOptions
from collectors.snmp import SnmpOptions


def test_the_secrets_of_sources_may_be_credentials_of_a_systemd_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    http = HttpOptions.model_validate({"url": "https://example.org", "bearer_token_file": "$CREDENTIALS_DIRECTORY/shiftwatch.token"})
    assert http.bearer_token_file == tmp_path / "shiftwatch.token"
    snmp = SnmpOptions.model_validate({"address": "crate", "profile": "wiener", "community_file": "${CREDENTIALS_DIRECTORY}/community"})
    assert snmp.community_file == tmp_path / "community"


def test_a_variable_that_is_not_set_stays_as_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    options = HttpOptions.model_validate({"url": "https://example.org", "bearer_token_file": "$CREDENTIALS_DIRECTORY/token"})
    assert str(options.bearer_token_file) == "$CREDENTIALS_DIRECTORY/token"
