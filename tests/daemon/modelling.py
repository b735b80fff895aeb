"""A site with a recorded table, a database and folders for history and models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result

from daemon.__main__ import cli
from daemon.records import Incident, IncidentState, Label, LabelKind
from daemon.settings import Settings, load
from daemon.store.store import Store
from detectors.finding import Certainty, Severity

START_NS = 1_767_571_200_000_000_000
STEP_NS = 600_000_000_000
S = 1_000_000_000


class Site:
    """One source, `table`, judged by robust_z; `learning` and `extra` are lines of the configuration."""

    def __init__(self, folder: Path, *, learning: str = "", extra: str = "") -> None:
        self.folder = folder
        self.config = folder / "shiftwatch.toml"
        self.config.write_text(f"""
            experiment = "LAB"
            [store]
            url = "sqlite:///{folder}/s.db"
            [history]
            path = "{folder}/history"
            [models]
            path = "{folder}/models"
            [learning]
            rows = 200
            {learning}
            [source.table]
            collector = "table"
            files = "{folder}/table.csv"
            place = "LAB/hv"
            period_s = 2
            watch_vanished = false
            detectors = ["robust_z"]
            {extra}
        """)

    @property
    def settings(self) -> Settings:
        return load(self.config)

    def record(self, values: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> None:
        """Writes the table, a row each ten minutes."""
        lines = [",".join(["time", *(f"ch{i}" for i in range(values.shape[1]))])]
        lines += [",".join([str((START_NS + i * STEP_NS) / S), *(f"{v:.6f}" for v in row)]) for i, row in enumerate(values)]
        (self.folder / "table.csv").write_text("\n".join(lines) + "\n")

    def incident(self, first_row: int, last_row: int, label: LabelKind | None = None, place: str = "LAB/hv/ch0") -> None:
        """Puts an incident over these rows into the database, labelled."""
        name = f"i{first_row}"
        started_ns, ended_ns = START_NS + first_row * STEP_NS, START_NS + last_row * STEP_NS
        incident = Incident(
            name, 1, IncidentState.RESOLVED, Severity.WARNING, Certainty.LIKELY, "outlier", place, "ch0", "It is off.", "", "", "",
            (place,), (), ("robust_z",), (), started_ns, started_ns, ended_ns, ended_ns,
        )  # fmt: skip
        store = Store(self.settings.store.resolve())
        with store.transaction() as connection:
            store.put_incident(connection, incident)
            if label is not None:
                store.put_label(connection, Label(f"l{name}", name, label, "Ada", started_ns))
        store.close()

    def run(self, *command: str) -> Result:
        """A command with this configuration."""
        return CliRunner().invoke(cli, [*command, "-c", str(self.config)])


def normal(rows: int, seed: int = 0, channels: int = 4) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return 10 + np.random.default_rng(seed).normal(size=(rows, channels))
