"""One configuration for the agents of many nodes: `{node}` in the names, places and addresses of sources is the node's name."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from typing import Any

WORD = "{node}"
OPTIONS = ("place", "url")
"""Options of a source in which it stands for the node, besides the source's name; elsewhere it can have another meaning."""


def for_node(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """A configuration with the node's name put in, where it is an agent's: `[source."disks.{node}"]`, `place = "FARM/{node}"`.

    Streams are told apart by the name of their source: two agents with a source of one name would spoil each other's.
    """
    agent, sources = document.get("agent"), document.get("source")
    if not isinstance(agent, Mapping) or not isinstance(sources, Mapping) or agent.get("enabled") is not True:
        return document
    node = str(agent.get("node") or this_node())
    return {**document, "source": {str(name).replace(WORD, node): _placed(section, node) for name, section in sources.items()}}


def this_node() -> str:
    """$SHIFTWATCH_NODE (Kubernetes: spec.nodeName), else the first part of the host's name, of characters that names may have."""
    name = os.environ.get("SHIFTWATCH_NODE") or socket.gethostname().partition(".")[0]
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)[:64] or "node"


def _placed(section: object, node: str) -> object:
    if not isinstance(section, Mapping):
        return section
    return {key: value.replace(WORD, node) if key in OPTIONS and isinstance(value, str) else value for key, value in section.items()}
