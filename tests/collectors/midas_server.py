"""A web server that answers as mhttpd of MIDAS does: POST /?mjsonrpc with JSON-RPC 2.0, one call or a batch of them.

Written from https://daq00.triumf.ca/MidasWiki/index.php/Mjsonrpc and from what mjsonrpc.cxx, mhttpd.cxx and odb.cxx of the release
2022-05 do: which members a call must have, error codes, the status of each path, the encodings "values" (keys in small letters with
/name and /last_written beside them) and "ls", words without sign as hexadecimal texts, and NaN and infinite numbers as texts.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

DB_SUCCESS, DB_NO_KEY, DB_TYPE_MISMATCH, DB_OUT_OF_RANGE = 1, 312, 315, 321
CM_SUCCESS, CM_NO_CLIENT = 1, 103
WORD, INT32, DWORD, BOOL, FLOAT, DOUBLE, STRING, KEY = 4, 7, 6, 8, 9, 10, 12, 15
"""TID_… of midas.h."""
DIGITS = {WORD: 4, DWORD: 8}


@dataclass
class Key:
    """One key: its type, its values and when they were written, in s since 1970."""

    tid: int
    values: list[Any]
    written_s: int


@dataclass
class Odb:
    """The database: keys by their path. Names of directories have letters of both sizes; finding ignores these, as MIDAS does."""

    keys: dict[str, Key] = field(default_factory=dict)
    programs: set[str] = field(default_factory=set)
    alarms: dict[str, bool] = field(default_factory=dict)
    now_s: int = 0

    def put(self, path: str, tid: int, *values: Any) -> None:
        """Writes a key, one second after the last write."""
        self.now_s = max(self.now_s + 1, int(time.time()) - 100_000)
        self.keys[path] = Key(tid, list(values), self.now_s)

    def find(self, path: str) -> Key | dict[str, Any] | None:
        """A key, a directory as a tree of keys, or None."""
        steps = [step for step in path.lower().split("/") if step]
        found: Key | dict[str, Any] | None = self._tree()
        for step in steps:
            if not isinstance(found, dict):
                return None
            found = next((member for name, member in found.items() if name.lower() == step), None)
        return found

    def _tree(self) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for path, key in self.keys.items():
            *directories, name = path.strip("/").split("/")
            at = tree
            for directory in directories:
                at = at.setdefault(directory, {})
            at[name] = key
        return tree


def scalar(tid: int, value: Any) -> str:
    """One value as `json_write_data` writes it."""
    if tid in DIGITS:
        return f'"0x{value:0{DIGITS[tid]}x}"'
    if tid == BOOL:
        return "true" if value else "false"
    if tid in (FLOAT, DOUBLE):
        if math.isnan(value):
            return '"NaN"'
        if math.isinf(value):
            return '"Infinity"' if value > 0 else '"-Infinity"'
        return f"{value:.0f}" if value == int(value) else f"{value:.{7 if tid == FLOAT else 16}e}"
    return json.dumps(value)


def array(key: Key) -> str:
    """The values of a key: in brackets where there are several."""
    written = ", ".join(scalar(key.tid, value) for value in key.values)
    return f"[ {written} ]" if len(key.values) > 1 else written


def encoded(found: Key | dict[str, Any], *, recurse: bool) -> str:
    """The encoding "values", or "ls" without `recurse`."""
    return array(found) if isinstance(found, Key) else "{" + ",\n".join(_members(found, recurse=recurse)) + "\n}"


def _members(directory: dict[str, Any], *, recurse: bool) -> Iterator[str]:
    for name, member in directory.items():
        written = json.dumps(name.lower() if recurse else name)[1:-1]
        if recurse:
            yield f'"{written}/name" : {json.dumps(name)}'
        if isinstance(member, Key):
            if recurse:
                yield f'"{written}/last_written" : {member.written_s}'
            else:
                yield f'"{written}/key" : {{ "type" : {member.tid}, "access_mode" : 7, "last_written" : {member.written_s} }}'
            yield f'"{written}" : {array(member)}'
        else:
            yield f'"{written}" : {encoded(member, recurse=True) if recurse else "{ }"}'


class Refusal(Exception):  # noqa: N818 - the word of the protocol is error
    """A JSON-RPC error object."""

    def __init__(self, code: int, message: str, data: str) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


class Rpc:
    """Answers calls on a database, and remembers their methods."""

    def __init__(self, odb: Odb) -> None:
        self.odb = odb
        self.methods: list[str] = []
        self.refused: set[str] = set()

    def answer(self, body: bytes) -> bytes:
        """What `mjsonrpc_decode_post_data` answers."""
        try:
            request = json.loads(body)
        except ValueError as error:
            return _refused(None, Refusal(-32700, "Parse error", str(error))).encode()
        if isinstance(request, dict):
            return self._handle(request).encode()
        if not isinstance(request, list) or not request:
            what = "batch request array has less than 1 element" if request == [] else "request is not a JSON object or JSON array"
            return _refused(None, Refusal(-32600, "Invalid Request", what)).encode()
        return f"[{','.join(map(self._handle, request))}]".encode()

    def _handle(self, request: dict[str, Any]) -> str:
        bad = [f"{name} is missing" for name in ("jsonrpc", "method", "params", "id") if name not in request]
        bad += ["jsonrpc version is not 2.0"] if request.get("jsonrpc", "2.0") != "2.0" else []
        bad += ["method is not a string"] if not isinstance(request.get("method", ""), str) else []
        if bad:
            return _refused(request.get("id"), Refusal(-32600, "Invalid request", ", ".join(bad)))
        method, params = request["method"], request["params"]
        self.methods.append(method)
        known = {"db_get_values": self._get_values, "db_ls": self._ls, "cm_exist": self._exist, "get_alarms": self._alarms}
        try:
            if method not in known or method in self.refused:
                raise Refusal(-32601, "Method not found", f"unknown method: {method}")
            return f'{{"jsonrpc": "2.0","result":{known[method](params)},"id":{json.dumps(request["id"])}}}'
        except Refusal as refusal:
            return _refused(request["id"], refusal)

    def _paths(self, params: Any) -> list[str]:
        if "paths" not in params:
            raise Refusal(-32602, "Invalid params", "missing parameter: paths")
        if not isinstance(params["paths"], list):
            raise Refusal(-32602, "Invalid params", "parameter must be an array: paths")
        return [str(path) for path in params["paths"]]

    def _get_values(self, params: Any) -> str:
        found = [self.odb.find(path) for path in self._paths(params)]
        data = ",".join("null" if each is None else encoded(each, recurse=True) for each in found)
        status = [DB_NO_KEY if each is None else DB_SUCCESS for each in found]
        tids = [None if each is None else each.tid if isinstance(each, Key) else KEY for each in found]
        written = [None if each is None else each.written_s if isinstance(each, Key) else 0 for each in found]
        rest = f'"status":{json.dumps(status)},"tid":{json.dumps(tids)},"last_written":{json.dumps(written)}'
        return f'{{"data":[{data}],{rest}}}'

    def _ls(self, params: Any) -> str:
        found = [self.odb.find(path) for path in self._paths(params)]
        data = ",".join(encoded(each, recurse=False) if isinstance(each, dict) else "null" for each in found)
        status = [DB_NO_KEY if each is None else DB_SUCCESS if isinstance(each, dict) else DB_TYPE_MISMATCH for each in found]
        return f'{{"data":[{data}],"status":{json.dumps(status)}}}'

    def _exist(self, params: Any) -> str:
        if "name" not in params:
            raise Refusal(-32602, "Invalid params", "missing parameter: name")
        return json.dumps({"status": CM_SUCCESS if params["name"] in self.odb.programs else CM_NO_CLIENT})

    def _alarms(self, params: Any) -> str:
        shown = {name: {"triggered": on, "active": True} for name, on in self.odb.alarms.items() if on or params.get("get_all")}
        return json.dumps({"status": 1, "alarm_system_active": True, "alarms": shown})


def _refused(number: Any, refusal: Refusal) -> str:
    error = {"code": refusal.code, "message": refusal.message, "data": refusal.data}
    return f'{{"jsonrpc": "2.0","error":{json.dumps(error)},"id":{json.dumps(number)}}}'


class Mhttpd:
    """The web server, on a port that it keeps when it is killed and started again."""

    def __init__(self, odb: Odb) -> None:
        self.rpc = Rpc(odb)
        self.port = 0
        self.authorization = ""
        """What a proxy before it asks for; nothing where empty."""
        self._server: ThreadingHTTPServer | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listens."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if server.authorization and self.headers["Authorization"] != server.authorization:
                    self._send(401, b"")
                elif self.path != "/?mjsonrpc":
                    self._send(404, b"")
                elif "application/json" not in (self.headers["Content-Type"] or ""):
                    self._send(415, b"")
                else:
                    self._send(200, server.rpc.answer(body))

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def kill(self) -> None:
        """Stops listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
