"""Manifests as kustomize builds them, and documents judged by published schemas."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import missing

Manifest = dict[str, Any]
SCHEMAS = Path(__file__).resolve().parent / "schemas"
KUSTOMIZE = "kubectl, or: go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.1"


@cache
def built(folder: Path) -> tuple[Manifest, ...]:
    """All manifests of a kustomization."""
    for program, command in (("kubectl", "kustomize"), ("kustomize", "build")):
        if (found := shutil.which(program)) is not None:
            done = subprocess.run([found, command, str(folder)], capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stderr
            assert "deprecated" not in done.stderr.lower(), done.stderr
            return tuple(yaml.safe_load_all(done.stdout))
    missing(f"kustomize ({KUSTOMIZE})")
    raise AssertionError


def of_kind(manifests: tuple[Manifest, ...], kind: str) -> dict[str, Manifest]:
    """Manifests of a kind, by name."""
    return {m["metadata"]["name"]: m for m in manifests if m["kind"] == kind}


def problems(documents: list[Manifest]) -> list[str]:
    """What is wrong with custom resources and compose files, "" where nothing is."""
    if shutil.which("node") is None or not (SCHEMAS / "node_modules" / "typescript").is_dir():
        missing("schemas: npm ci --prefix tests/deploy/schemas (Node.js 20 or later)")
    done = subprocess.run(
        ["node", str(SCHEMAS / "validate.mjs")], input=json.dumps(documents), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found
