"""Modbus/TCP against a server that is killed, slow, broken, or none at all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from collectors.collector import CollectError
from tests.collectors.modbus_server import Server, at
from tests.collectors.modbus_turns import Build, building, turn, values


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server")).start()
    yield running
    running.kill()


@pytest.fixture
def server(process: Server) -> Server:
    if not process.is_running:
        process.start()
    process.reset()
    process.tell()
    return process


@pytest.fixture
def build(server: Server) -> Iterator[Build]:
    with building(server) as start:
        yield start


def test_killed_server_is_an_error_and_its_return_is_noticed(server: Server, build: Build) -> None:
    collector = build({"name": "A", "address": 0})
    turn(collector)
    server.kill()
    for _ in range(2):
        with pytest.raises(CollectError, match=f"^{server.address}: "):
            turn(collector)
    server.start()
    server.tell(words={"1/holding": {"0": 5}})
    frame, _ = turn(collector)
    assert values(frame) == {"A": 5}


def test_server_that_was_restarted_between_two_turns_loses_none(server: Server, build: Build) -> None:
    collector = build({"name": "A", "address": 0})
    turn(collector)
    server.kill()
    server.start()
    server.tell(words={"1/holding": {"0": 6}})
    frame, _ = turn(collector)
    assert values(frame) == {"A": 6}


def test_server_that_is_too_slow_is_an_error_that_says_what_was_asked(server: Server, build: Build) -> None:
    collector = build({"name": "A{0..3}", "address": 10}, timeout_s=0.2, retries=0)
    server.tell(delay_s=0.6)
    with pytest.raises(CollectError, match=rf"^{server.address}: holding 10 to 13 of device 1: no answer within 0\.2 s$"):
        turn(collector)
    server.tell(delay_s=0, words={"1/holding": at(10, [1, 2, 3, 4])})
    frame, _ = turn(collector)
    assert list(values(frame).values()) == [1, 2, 3, 4], "the late answer to the question before is not taken for this one"


def test_half_an_answer_is_an_error(server: Server, build: Build) -> None:
    collector = build({"name": "A{0..3}", "address": 0}, timeout_s=0.3, retries=0)
    server.tell(cut=2)
    with pytest.raises(CollectError, match=server.address):
        turn(collector)
    server.tell(cut=0)
    turn(collector)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 40, b"", bytes(range(256)) * 40])
def test_something_else_at_the_port_is_an_error(build: Build, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        is_over = threading.Event()

        def serve() -> None:
            while not is_over.is_set():
                try:
                    client, _ = listener.accept()
                except TimeoutError:
                    continue
                with client:
                    client.recv(100)
                    client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        try:
            with pytest.raises(CollectError, match=f"^{address}: ") as error:
                turn(build({"name": "A", "address": 0}, address=address, timeout_s=0.3, retries=0))
        finally:
            is_over.set()
            thread.join()
    assert "\n" not in str(error.value)


def _frame(request: bytes, function: int, words: list[int]) -> bytes:
    data = bytes([request[6], function, 2 * len(words)]) + b"".join(word.to_bytes(2, "big") for word in words)
    return request[:4] + len(data).to_bytes(2, "big") + data


@pytest.mark.parametrize(("function", "words"), [(4, [7]), (3, [7, 8]), (3, [])])
def test_an_answer_to_another_question_is_not_taken_for_this_one(build: Build, function: int, words: list[int]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(_frame(client.recv(12), function, words))

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(CollectError, match=f"^{address}: .*holding 0 to 0 of device 1"):
            turn(build({"name": "A", "address": 0}, address=address, timeout_s=1, retries=0))
        thread.join()
