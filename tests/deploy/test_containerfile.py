"""The image's recipe, as far as it can be judged without building it."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from daemon.version import VERSION
from tests.deploy.configurations import DEPLOY

ROOT = DEPLOY.parent
FILE = DEPLOY / "container" / "Containerfile"
KNOWN = {
    "FROM", "ARG", "ENV", "RUN", "WORKDIR", "COPY", "LABEL", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD",
}  # fmt: skip


class Instruction(NamedTuple):
    word: str
    rest: str


def stages() -> list[list[Instruction]]:
    """Instructions, stage by stage."""
    text = re.sub(r"^#.*\n", "", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    found: list[list[Instruction]] = []
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append(Instruction(word, rest.strip()))
    return found


def of(stage: list[Instruction], word: str) -> list[str]:
    return [instruction.rest for instruction in stage if instruction.word == word]


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def test_two_stages_on_the_same_short_named_image_and_only_known_instructions() -> None:
    build, final = stages()
    assert {i.word for i in build + final} <= KNOWN
    images = [of(stage, "FROM")[0].split()[0] for stage in (build, final)]
    assert images[0] == images[1], "the virtual environment belongs to the Python that made it"
    assert re.fullmatch(r"python:3\.11-slim-\w+", images[0])
    assert not re.search(r"https?://(?!127\.0\.0\.1)", FILE.read_text()), "no address but our own"


def test_it_runs_as_a_numeric_user_that_is_not_root_and_owns_its_folders() -> None:
    final = stages()[1]
    (user,) = of(final, "USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user), "Kubernetes checks runAsNonRoot by number"
    words = [i.word for i in final]
    assert words.index("USER") > max(n for n, word in enumerate(words) if word in ("COPY", "RUN")), "our files are root's"
    assert f"-o {user.split(':')[0]}" in of(final, "RUN")[0]
    assert of(final, "WORKDIR")[0] in of(final, "RUN")[0]


def test_all_that_is_copied_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".containerignore").read_text().split()
    build, final = stages()
    copied = [source for rest in of(build, "COPY") for source in shlex.split(rest)[:-1]]
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source
    assert ignored[ignored.index("*") - 1 :], "everything else is left out"
    assert all(rest.startswith("--from=build ") for rest in of(final, "COPY")), "no compiler or source in the image"


def test_every_package_of_the_distribution_is_copied() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    copied = [source for rest in of(stages()[0], "COPY") for source in shlex.split(rest)[:-1]]
    assert [pattern for pattern in setuptools if not fnmatch.filter(copied, pattern)] == []


def test_versions_agree_with_the_project() -> None:
    build, final = stages()
    assert project()["requires-python"] == ">=3.11"
    assert f"VERSION={project()['version']}" in of(final, "ARG")
    assert project()["version"] == VERSION
    labels = " ".join(of(final, "LABEL"))
    assert f'licenses="{project()["license"]}"' in labels
    assert f'description="{project()["description"]}"' in labels
    assert "PIP_CONSTRAINT=/src/constraints.txt" in " ".join(of(build, "ENV"))
    assert re.search(r"^torch==[\d.]+$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)


def test_the_requirements_are_those_of_the_project() -> None:
    (line,) = [rest for rest in of(stages()[0], "RUN") if "tomllib" in rest]
    command = line.partition(" > ")[0].replace("python", shlex.quote(sys.executable), 1)
    printed = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    extras = project()["optional-dependencies"]
    assert printed[: len(project()["dependencies"])] == project()["dependencies"]
    protocols = re.fullmatch(r"shiftwatch\[([a-z0-9,]+)\]", extras["all"][0])
    assert protocols is not None
    assert sorted(printed[len(project()["dependencies"]) :]) == sorted(line for extra in protocols[1].split(",") for line in extras[extra])


def test_it_starts_and_is_asked_for_its_health_without_a_shell() -> None:
    final = stages()[1]
    assert json.loads(of(final, "ENTRYPOINT")[0]) == ["shiftwatch"]
    assert json.loads(of(final, "CMD")[0])[0] == "run"
    health = json.loads(of(final, "HEALTHCHECK")[0].partition("CMD ")[2])
    compile(health[2], "healthcheck", "exec")
    assert ":9109/livez" in health[2]
    assert of(final, "EXPOSE")[0].split() == ["9109", "9110"]
    environment = " ".join(of(final, "ENV"))
    assert "NUMBA_CACHE_DIR=/var/cache/shiftwatch/" in environment, "the installation cannot be written"
    assert Path("/var/cache/shiftwatch").as_posix() in of(final, "RUN")[0]
