"""The Slack of the tests refuses what the documentation forbids; else the other tests would show nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from daemon.notify.slack_client import silent_logger
from tests.slack_server import SlackServer
from tests.slack_workspace import APP_TOKEN, BOT_TOKEN, CHANNEL

Block = dict[str, Any]


@pytest.fixture
def server() -> Iterator[SlackServer]:
    with SlackServer() as running:
        yield running


@pytest.fixture
def client(server: SlackServer) -> WebClient:
    return client_of(server)


def client_of(server: SlackServer, token: str | None = BOT_TOKEN) -> WebClient:
    return WebClient(token, base_url=server.url, timeout=1, retry_handlers=[], logger=silent_logger())


def section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def actions(**changes: Any) -> Block:
    button = {"type": "button", "text": {"type": "plain_text", "text": "On it"}, "action_id": "a", "value": "v", **changes}
    return {"type": "actions", "elements": [button]}


def plain(text: str) -> Block:
    return {"type": "plain_text", "text": text}


def refusal(error: pytest.ExceptionInfo[SlackApiError]) -> str:
    return str(error.value.response["error"])


@pytest.mark.parametrize(
    ("blocks", "error"),
    [
        ([section("x")] * 51, "invalid_blocks"),
        ([section("x" * 3001)], "invalid_blocks"),
        ([section("")], "invalid_blocks"),
        ([{"type": "section"}], "invalid_blocks"),
        ([{"type": "header", "text": plain("x" * 151)}], "invalid_blocks"),
        ([{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}], "invalid_blocks"),
        ([{"type": "context", "elements": [plain("x")] * 11}], "invalid_blocks"),
        ([{"type": "context", "elements": []}], "invalid_blocks"),
        ([{"type": "actions", "elements": actions()["elements"] * 2}], "invalid_blocks"),
        ([{"type": "actions", "elements": [{**actions()["elements"][0], "action_id": str(n)} for n in range(26)]}], "invalid_blocks"),
        ([actions(text=plain("x" * 76))], "invalid_blocks"),
        ([actions(action_id="x" * 256)], "invalid_blocks"),
        ([actions(value="x" * 2001)], "invalid_blocks"),
        ([actions(url="x" * 3001)], "invalid_blocks"),
        ([actions(url="page")], "invalid_blocks"),
        ([actions(style="loud")], "invalid_blocks"),
        ([actions(confirm={"title": plain("x"), "text": plain("x"), "confirm": plain("x" * 31), "deny": plain("x")})], "invalid_blocks"),
        ([{**section("x"), "block_id": "x" * 256}], "invalid_blocks"),
        ([{**section("x"), "block_id": "same"}] * 2, "invalid_blocks"),
        ([{"type": "image", "alt_text": "x"}], "invalid_blocks"),
        ([{"type": "image", "image_url": "https://x.example/a.png"}], "invalid_blocks"),
        ([{"type": "image", "image_url": "https://x.example/a.png", "alt_text": "x" * 2001}], "invalid_blocks"),
        ([{"type": "image", "slack_file": {"id": "F1"}, "image_url": "https://x.example", "alt_text": "x"}], "invalid_blocks"),
        ([{"type": "image", "slack_file": {"id": "F0UNKNOWN"}, "alt_text": "x"}], "invalid_blocks"),
        ([{"type": "marquee"}], "invalid_blocks"),
        ([section("x" * 2900)] * 5, "msg_blocks_too_long"),
        ({"type": "section"}, "invalid_blocks_format"),
    ],
)
def test_blocks_that_break_a_rule_are_refused(client: WebClient, blocks: Any, error: str) -> None:
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel=CHANNEL, text="x", blocks=blocks)
    assert refusal(caught) == error


@pytest.mark.parametrize(
    "blocks",
    [
        [section("x")] * 50,
        [section("x" * 3000)],
        [{"type": "header", "text": plain("x" * 150)}],
        [{"type": "context", "elements": [plain("x")] * 10}],
        [actions(text=plain("x" * 75), action_id="x" * 255, value="x" * 2000)],
        [{"type": "image", "image_url": "https://x.example/a.png", "alt_text": "x" * 2000}],
    ],
)
def test_blocks_up_to_the_limits_are_taken(server: SlackServer, client: WebClient, blocks: list[Block]) -> None:
    client.chat_postMessage(channel=CHANNEL, text="x", blocks=blocks)
    assert server.messages[0]["blocks"] == blocks


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ({"event_type": "t"}, "invalid_metadata_format"),
        ({"event_type": "with space", "event_payload": {}}, "invalid_metadata_schema"),
        ({"event_type": "t", "event_payload": "text"}, "invalid_metadata_schema"),
        ({"event_type": "t", "event_payload": {"x": "y" * 9000}}, "metadata_too_large"),
    ],
)
def test_metadata_have_a_form(client: WebClient, metadata: Block, error: str) -> None:
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel=CHANNEL, text="x", metadata=metadata)
    assert refusal(caught) == error


@pytest.mark.parametrize(
    ("token", "error"), [(None, "not_authed"), ("xoxb-another", "invalid_auth"), (APP_TOKEN, "not_allowed_token_type")]
)
def test_the_token_must_be_right(server: SlackServer, token: str | None, error: str) -> None:
    with pytest.raises(SlackApiError) as caught:
        client_of(server, token).auth_test()
    assert refusal(caught) == error


def test_a_bot_cannot_open_a_socket(client: WebClient) -> None:
    with pytest.raises(SlackApiError) as caught:
        client.apps_connections_open(app_token=BOT_TOKEN)
    assert refusal(caught) == "not_allowed_token_type"


def test_what_is_not_there_is_not_found(client: WebClient) -> None:
    attempts: dict[str, Callable[[], object]] = {
        "channel_not_found": lambda: client.chat_postMessage(channel="C0ELSEWHERE", text="x"),
        "message_not_found": lambda: client.chat_update(channel=CHANNEL, ts="1.000001", text="x"),
        "thread_not_found": lambda: client.chat_postMessage(channel=CHANNEL, thread_ts="1.000001", text="x"),
        "file_not_found": lambda: client.files_completeUploadExternal(files=[{"id": "F0UNKNOWN", "title": "x"}]),
        "no_text": lambda: client.chat_postMessage(channel=CHANNEL, text="", blocks=[], attachments=[]),
        "unknown_method": lambda: client.api_call("chat.shout"),
    }
    for error, attempt in attempts.items():
        with pytest.raises(SlackApiError) as caught:
            attempt()
        assert refusal(caught) == error


def test_a_long_text_is_cut_when_posted_and_refused_when_edited(client: WebClient) -> None:
    posted = client.chat_postMessage(channel=CHANNEL, text="x" * 40_001)
    assert posted["response_metadata"]["warnings"] == ["message_truncated"]
    assert len(posted["message"]["text"]) == 40_000
    with pytest.raises(SlackApiError) as caught:
        client.chat_update(channel=CHANNEL, ts=posted["ts"], text="x" * 4001)
    assert refusal(caught) == "msg_too_long"


def test_more_than_one_message_a_second_is_put_off() -> None:
    with SlackServer(burst=1) as server:
        client = client_of(server)
        client.chat_postMessage(channel=CHANNEL, text="1")
        with pytest.raises(SlackApiError) as caught:
            client.chat_postMessage(channel=CHANNEL, text="2")
        assert caught.value.response.status_code == 429
        assert caught.value.response.headers["Retry-After"] == "1"


def test_a_file_must_be_as_long_as_announced(client: WebClient) -> None:
    place = client.files_getUploadURLExternal(filename="a.png", length=4)
    with pytest.raises(URLError):
        urlopen(Request(place["upload_url"], data=b"12345", method="POST"), timeout=5).close()
    with pytest.raises(SlackApiError) as caught:
        client.files_completeUploadExternal(files=[{"id": place["file_id"], "title": "x"}])
    assert refusal(caught) == "file_not_found"


def test_a_file_can_be_used_once_it_is_complete_and_worked_on() -> None:
    with SlackServer(processing_refusals=1) as server:
        client = client_of(server)
        file = client.files_upload_v2(content=b"1234", filename="a.png")["files"][0]["id"]
        blocks = [{"type": "image", "slack_file": {"id": file}, "alt_text": "x"}]
        with pytest.raises(SlackApiError) as caught:
            client.chat_postMessage(channel=CHANNEL, text="x", blocks=blocks)
        assert caught.value.response["errors"] == ["invalid slack file [json-pointer:/blocks/0/slack_file]"]
        client.chat_postMessage(channel=CHANNEL, text="x", blocks=blocks)


def test_history_gives_metadata_only_where_asked_and_leaves_replies_out(client: WebClient) -> None:
    metadata = {"event_type": "t", "event_payload": {"n": 1}}
    first = client.chat_postMessage(channel=CHANNEL, text="1", metadata=metadata)
    client.chat_postMessage(channel=CHANNEL, text="reply", thread_ts=first["ts"])
    client.chat_postMessage(channel=CHANNEL, text="2")
    page = client.conversations_history(channel=CHANNEL, limit=1)
    assert [m["text"] for m in page["messages"]] == ["2"]
    rest = client.conversations_history(channel=CHANNEL, cursor=page["response_metadata"]["next_cursor"], include_all_metadata=True)
    assert [(m["text"], m["metadata"]) for m in rest["messages"]] == [("1", metadata)]
    assert client.conversations_history(channel=CHANNEL, oldest=first["ts"])["messages"][-1]["text"] == "2"
    assert [m["text"] for m in client.conversations_replies(channel=CHANNEL, ts=first["ts"])["messages"]] == ["1", "reply"]


def test_it_runs_as_a_process_of_its_own() -> None:
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.slack_server", "--port", "0"], cwd=root, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url, channel = process.stdout.readline().split()
            client = WebClient(BOT_TOKEN, base_url=url, logger=silent_logger())
            client.chat_postMessage(channel=channel, text="hello", blocks=[actions()])
            site = url.removesuffix("api/")
            with urlopen(f"{site}_seen", timeout=5) as answer:
                assert [m["text"] for m in json.load(answer)["messages"]] == ["hello"]
            broken = json.dumps({"kind": "error", "methods": ["chat.*"], "times": 1}).encode()
            urlopen(Request(f"{site}_outage", data=broken), timeout=5).close()
            with pytest.raises(SlackApiError):
                client.chat_postMessage(channel=channel, text="lost")
        finally:
            process.terminate()
