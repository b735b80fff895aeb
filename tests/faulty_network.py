"""A TCP relay in front of a server, on whose way things go wrong: refused, cut, silent, or with the answer lost."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Literal, Self

Fault = Literal["none", "refused", "cut", "silent", "lost", "echo"]
"""refused: nobody listens; cut: the connection ends at once; silent: no answer; lost: the request arrives and its answer does not;
echo: HTTP status 500 with the request itself in its body, as a badly configured proxy shows it."""
MAX_REQUEST_BYTES = 5_000_000
POLL_S = 0.02


class FaultyNetwork:
    """Relays connections from `port` to a server, as long as there is no fault."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._fault: Fault = "none"
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._listener = self._listen(0)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._closed = threading.Event()
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self.fault("refused")
        for thread in self._threads:
            thread.join(5)

    def fault(self, fault: Fault) -> None:
        """From now on; connections that are open end."""
        before, self._fault = self._fault, fault
        with self._lock:
            ended, self._open = self._open, set()
        for connection in ended:
            _end(connection)
        if fault == "refused" and before != "refused":
            self._listener.close()
        elif before == "refused" and fault != "refused":
            self._listener = self._listen(self.port)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        listener.settimeout(POLL_S)
        return listener

    def _start(self, run: object, *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)  # type: ignore[arg-type]  # any function with its arguments
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed.wait(0.0):
            try:
                client, _ = self._listener.accept()
            except OSError:  # nobody came within POLL_S, or the listener is closed
                self._closed.wait(POLL_S / 4)
                continue
            client.settimeout(None)
            with self._lock:
                self._open.add(client)
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        fault = self._fault
        if fault in {"none", "lost"}:
            server = socket.create_connection(("127.0.0.1", self._server_port))
            with self._lock:
                self._open.add(server)
            self._start(_pump, client, server)
            _pump(server, client, lose=fault == "lost")
        elif fault == "echo":
            with contextlib.suppress(OSError):
                request = client.recv(MAX_REQUEST_BYTES)
                head = f"HTTP/1.1 500 Internal Server Error\r\nContent-Length: {len(request)}\r\nConnection: close\r\n\r\n"
                client.sendall(head.encode() + request)
        elif fault == "silent":
            while self._fault == "silent" and not self._closed.wait(POLL_S):
                pass
        _end(client)


def _pump(source: socket.socket, sink: socket.socket, *, lose: bool = False) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if lose:
                break
            sink.sendall(data)
    _end(source)
    _end(sink)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
