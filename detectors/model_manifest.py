"""What is written beside a model: where it comes from, what it knows, how good it was, and which version is in use."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from collectors.collector import Options
from collectors.frame import digest_of

FORMAT = 1
"""Of the files; another one is refused."""
LOG_ENTRIES = 50


def options_digest(method: str, options: Options) -> str:
    """Names a method with its options: models of others are others."""
    return digest_of(method, options.model_dump_json())


class ModelError(Exception):
    """A model that cannot be used; names its file or what does not fit."""


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model belongs to a stream and a detector of the configuration."""

    stream: str
    detector: str

    def __str__(self) -> str:
        return f"{self.stream}/{self.detector}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model is.

    method: the detector's plugin; options_digest: of its options, a model of other options is another model; state_version: of
    what the method learned; keys: column keys that it knows. trained_from_ns, trained_to_ns: event times of the first and last
    row seen, those held back included; rows, held_back_rows: how many it was fitted on and calibrated with; data_digest: of
    these rows. figures: on the held-back rows, by name; report: what was learned, a sentence a line. verdict: why it came into
    use, or why not. file_digest: SHA-256 of the model's file.
    """

    stream: str
    detector: str
    method: str
    options_digest: str
    keys: tuple[str, ...]
    trained_from_ns: int
    trained_to_ns: int
    rows: int
    held_back_rows: int
    data_digest: str
    created_ns: int
    figures: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    report: tuple[str, ...] = ()
    verdict: str = ""
    state_version: int = 0
    version: int = 0
    file_digest: str = ""

    @property
    def name(self) -> ModelName:
        """Which model it is a version of."""
        return ModelName(self.stream, self.detector)

    def refusal(self, method: str, options_digest: str) -> str:
        """Why a detector of the configuration cannot use it; empty where it can."""
        if method != self.method:
            return f"it was trained for the method {self.method}, the configuration says {method}"
        if options_digest != self.options_digest:
            return f"it was trained with other options of {method} than the configuration has now: train it again"
        return ""

    def refusal_for(self, method: str, options: Options) -> str:
        """The same for options."""
        return self.refusal(method, options_digest(method, options))

    def unknown(self, keys: Collection[str]) -> tuple[str, ...]:
        """Of these column keys, those that it knows nothing of."""
        known = set(self.keys)
        return tuple(key for key in keys if key not in known)

    def encode(self) -> bytes:
        """As JSON."""
        return (json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class Ledger:
    """Which versions of a model are in use.

    current: the one that judges, 0 for what the daemon learns by itself; previous: what was current before, the newest last;
    shadow: one that runs silently beside it, 0 for none, until shadow_until_ns (event time; 0: until somebody promotes it).
    promoted: a detector that the configuration has in shadow judges nevertheless. log: what happened, (time in ns, sentence).
    """

    current: int = 0
    previous: tuple[int, ...] = ()
    shadow: int = 0
    shadow_until_ns: int = 0
    promoted: bool = False
    log: tuple[tuple[int, str], ...] = ()

    def noted(self, now_ns: int, sentence: str) -> Ledger:
        """With one more entry in the log."""
        return replace(self, log=(*self.log, (now_ns, sentence))[-LOG_ENTRIES:])

    def with_current(self, version: int) -> Ledger:
        """Another version judges from now on. None is in shadow any more: it must not take over later from one that was chosen."""
        previous = tuple(v for v in self.previous if v != version)
        if self.current != version:
            previous = (*previous, self.current)
        return replace(self, current=version, previous=previous, shadow=0, shadow_until_ns=0)

    def encode(self) -> bytes:
        """As JSON."""
        return (json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


def decode_manifest(data: bytes) -> Manifest:
    """Raises ModelError where it is another format, or something else."""
    found = _document(data)
    try:
        fields = {**found, "keys": _texts(found["keys"]), "report": _texts(found["report"])}
        fields |= {name: _numbers(found[name]) for name in ("figures", "weights")}
        for name in _WHOLE:
            fields[name] = _whole(found[name])
        for name in _TEXT:
            fields[name] = _text(found[name])
        return Manifest(**fields)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise ModelError(f"not a manifest: {type(error).__name__}: {error}") from None


_WHOLE = ("trained_from_ns", "trained_to_ns", "rows", "held_back_rows", "created_ns", "state_version", "version")
_TEXT = ("stream", "detector", "method", "options_digest", "data_digest", "verdict", "file_digest")


def decode_ledger(data: bytes) -> Ledger:
    """Raises ModelError where it is another format, or something else."""
    found = _document(data)
    try:
        return Ledger(
            _whole(found["current"]),
            tuple(_whole(version) for version in found["previous"]),
            _whole(found["shadow"]),
            _whole(found["shadow_until_ns"]),
            found["promoted"] is True,
            tuple((_whole(at_ns), _text(sentence)) for at_ns, sentence in found["log"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"not a ledger of versions: {type(error).__name__}: {error}") from None


def _document(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
        if not isinstance(found, dict):
            raise ModelError("not a JSON object")
        version = found.pop("format", None)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"not JSON: {error}") from None
    if version != FORMAT:
        raise ModelError(f"format {version!r}, this version of shiftwatch reads {FORMAT}")
    return found


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{str(value)[:40]!r} is not a whole number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:40]!r} is not text")
    return value


def _texts(values: Any) -> tuple[str, ...]:  # noqa: ANN401 - from a file
    return tuple(_text(value) for value in values)


def _numbers(values: Any) -> dict[str, float]:  # noqa: ANN401 - from a file
    return {_text(name): float(value) for name, value in values.items()}
