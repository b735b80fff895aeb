"""What the page refuses."""

from __future__ import annotations

import pytest

from daemon.web.guard import allowed_hosts, refusal

LOOPBACK = allowed_hosts("127.0.0.1", "https://shift.example:8443/watch")
ASKED = {"host": "localhost:9110"}


@pytest.mark.parametrize("host", ["localhost:9110", "127.0.0.1", "[::1]:9110", "SHIFT.example"])
def test_own_names_are_answered(host: str) -> None:
    assert refusal("GET", {"host": host}, LOOPBACK, "") is None


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9110", "", "localhost.evil.example", "[", "127.0.0.1.evil.example"])
def test_other_names_are_refused_on_the_loopback_interface(host: str) -> None:
    refused = refusal("GET", {"host": host}, LOOPBACK, "")
    assert refused is not None
    assert refused[0] == 421


def test_any_name_is_answered_where_others_reach_it() -> None:
    assert allowed_hosts("0.0.0.0", "") is None
    assert refusal("GET", {"host": "shift.example"}, None, "") is None


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://localhost:9110", "sec-fetch-site": "same-origin"},
        {"origin": "http://localhost:9110"},
        {"sec-fetch-site": "same-origin"},
        {"origin": "https://shift.example:8443"},
    ],
)
def test_own_forms_are_taken(headers: dict[str, str]) -> None:
    assert refusal("POST", ASKED | headers, LOOPBACK, "shift.example:8443") is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "http://evil.example"},
        {"origin": "http://localhost:8000"},
        {"origin": "http://localhost:9110", "sec-fetch-site": "cross-site"},
        {"origin": "http://localhost:9110", "sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "http://["},
    ],
)
def test_forms_of_others_are_refused(headers: dict[str, str]) -> None:
    refused = refusal("POST", ASKED | headers, LOOPBACK, "")
    assert refused is not None
    assert refused[0] == 403
