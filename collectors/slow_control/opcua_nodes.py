"""What an OPC UA server has and tells of it: folders browsed for variables, units, limits and names of states.

Requests are made for many nodes at a time, as many as the server allows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asyncua import Client, ua

from collectors.frame import Quality
from collectors.slow_control.channel_list import LIMITS, MAX_CHANNELS, ControlInfo
from collectors.slow_control.opcua_values import quality_of, status_of

_MOST_AT_ONCE = 500
_MOST_STATES = 1024
_DEEPEST = 64
_IDS = ua.ObjectIds
_OBJECTS = ua.NodeId(_IDS.ObjectsFolder)
_HIERARCHY = ua.NodeId(_IDS.HierarchicalReferences)
_HAS_PROPERTY = ua.NodeId(_IDS.HasProperty)
_TEXTS = {_IDS.String, _IDS.LocalizedText, _IDS.LocaleId}
_NO_NUMBERS = {*range(_IDS.DateTime, _IDS.DataValue + 1), _IDS.DiagnosticInfo, _IDS.UtcTime, _IDS.Image}
_NUMBERS = {*range(_IDS.Boolean, _IDS.Double + 1), *range(_IDS.Number, _IDS.Enumeration + 1), _IDS.BaseDataType, _IDS.Duration}
_LIMIT_PROPERTIES = dict(zip(("LowLowLimit", "LowLimit", "HighLimit", "HighHighLimit"), LIMITS, strict=True))
_PROPERTIES = {"EngineeringUnits", "EURange", "EnumStrings", "EnumValues", "TrueState", "FalseState", *_LIMIT_PROPERTIES}


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable below a folder that was browsed, and what its values are."""

    path: str
    node: ua.NodeId
    is_array: bool = False
    is_text: bool = False
    is_number: bool = True
    """It may be, as far as its type tells."""


class Nodes:
    """The nodes of one connected server."""

    def __init__(self, client: Client, namespaces: Sequence[str], read: int, browse: int, monitor: int) -> None:
        self._client = client
        self._namespaces = {uri: index for index, uri in enumerate(namespaces)}
        self._read_at_once, self._browse_at_once, self.monitored_at_once = read, browse, monitor

    @classmethod
    async def of(cls, client: Client) -> Nodes:
        """Asks the server for its namespaces, and how many nodes it takes in one request."""
        asked = (
            _IDS.Server_NamespaceArray,
            _IDS.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
            _IDS.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
            _IDS.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
        )
        values = await _read(client, [ua.NodeId(i) for i in asked], ua.AttributeIds.Value)
        most = [min(value, _MOST_AT_ONCE) if isinstance(value, int) and value > 0 else _MOST_AT_ONCE for value in values[1:]]
        return cls(client, values[0] if isinstance(values[0], list) else [], *most)

    def resolve(self, address: str) -> ua.NodeId:
        """The node id of a text; "nsu=URI;…" is looked up, since the index may be another one after a restart. Raises ValueError."""
        node = parse(address)
        uri = getattr(node, "NamespaceUri", None)
        if not uri:
            return node
        if uri not in self._namespaces:
            raise ValueError(f"the server has no namespace {uri}")
        return ua.NodeId(node.Identifier, self._namespaces[uri], node.NodeIdType)

    async def read(self, nodes: Sequence[ua.NodeId], attribute: ua.AttributeIds = ua.AttributeIds.Value) -> list[Any]:
        """One attribute of many nodes; None for each that cannot be read."""
        values: list[Any] = []
        for part in _parts(nodes, self._read_at_once):
            values += await _read(self._client, part, attribute)
        return values

    async def variables(self, folder: ua.NodeId) -> list[Variable]:
        """All variables below a folder, at any depth, in the order of the server; paths begin with the folder's own name.

        Raises ValueError where there is no such folder, or where it holds far too many.
        """
        (name,) = await self.read([folder], ua.AttributeIds.BrowseName)
        if not isinstance(name, ua.QualifiedName):
            raise ValueError("the server has no such node")
        is_top = folder == _OBJECTS
        level, seen, found = [("" if is_top else f"{name.Name}/", folder)], {folder}, dict[str, ua.NodeId]()
        for _ in range(_DEEPEST):
            below: list[tuple[str, ua.NodeId]] = []
            children = await self._children([node for _, node in level], ua.NodeClass.Object | ua.NodeClass.Variable)
            for (path, _), references in zip(level, children, strict=True):
                for reference in references:
                    node = _local(reference.NodeId)
                    if node in seen or _is_property(reference) or (is_top and node.NamespaceIndex == 0):
                        continue  # what the standard itself puts below Objects is about the server, not about the plant
                    seen.add(node)
                    below.append((f"{path}{reference.BrowseName.Name}/", node))
                    if reference.NodeClass == ua.NodeClass.Variable:
                        found.setdefault(f"{path}{reference.BrowseName.Name}", node)
            if len(seen) > MAX_CHANNELS:
                raise ValueError(f"more than {MAX_CHANNELS} nodes below it")
            level = below
        return await self._typed(found)

    async def _typed(self, found: Mapping[str, ua.NodeId]) -> list[Variable]:
        nodes = list(found.values())
        types = await self.read(nodes, ua.AttributeIds.DataType)
        ranks = await self.read(nodes, ua.AttributeIds.ValueRank)
        return [
            Variable(
                path,
                node,
                is_array=isinstance(rank, int) and rank >= 0,
                is_text=_is_standard(type_id, _TEXTS),
                is_number=not _is_standard(type_id, _TEXTS | _NO_NUMBERS),
            )
            for (path, node), type_id, rank in zip(found.items(), types, ranks, strict=True)
        ]

    async def describe(self, nodes: Mapping[int, ua.NodeId]) -> dict[int, ControlInfo]:
        """Unit, states and limits of variables, as far as the server tells; keys are those of `nodes`."""
        types = dict(zip(nodes, await self.read(list(nodes.values()), ua.AttributeIds.DataType), strict=True))
        own = {key: type_id for key, type_id in types.items() if isinstance(type_id, ua.NodeId) and not _is_standard(type_id, _NUMBERS)}
        asked = list(dict.fromkeys([*nodes.values(), *own.values()]))
        properties: dict[ua.NodeId, dict[str, Any]] = {}
        wanted: list[tuple[ua.NodeId, str, ua.NodeId]] = []
        for node, references in zip(asked, await self._children(asked, ua.NodeClass.Variable), strict=True):
            names = ((reference.BrowseName.Name, _local(reference.NodeId)) for reference in references if _is_property(reference))
            wanted += ((node, name, child) for name, child in names if name in _PROPERTIES)
        for (node, name, _), value in zip(wanted, await self.read([child for _, _, child in wanted]), strict=True):
            properties.setdefault(node, {})[name] = value
        return {key: control_info({**properties.get(own.get(key), {}), **properties.get(node, {})}) for key, node in nodes.items()}

    async def _children(self, nodes: Sequence[ua.NodeId], classes: int) -> list[list[ua.ReferenceDescription]]:
        """What each node refers to in the hierarchy, properties included; nothing for one that cannot be browsed."""
        children: list[list[ua.ReferenceDescription]] = []
        for part in _parts(nodes, self._browse_at_once):
            parameters = ua.BrowseParameters()
            parameters.NodesToBrowse = [
                ua.BrowseDescription(node, ua.BrowseDirection.Forward, _HIERARCHY, True, classes, 63) for node in part
            ]
            children += [await self._all_of(result) for result in await self._client.uaclient.browse(parameters)]
        return children

    async def _all_of(self, result: ua.BrowseResult) -> list[ua.ReferenceDescription]:
        references = list(result.References or ())
        while result.ContinuationPoint:
            (result,) = await self._client.uaclient.browse_next(ua.BrowseNextParameters(False, [result.ContinuationPoint]))
            references += result.References or ()
        return references


def parse(address: str) -> ua.NodeId:
    """A node id as it is written: "ns=2;s=HV.ch00", "i=2258", "nsu=http://example.org/hv;s=ch00". Raises ValueError."""
    try:
        return ua.NodeId.from_string(address)
    except (ua.UaError, ValueError, KeyError) as error:
        raise ValueError(f"{address!r} is no node id; write ns=2;s=NAME, ns=2;i=NUMBER or nsu=URI;s=NAME") from error


def control_info(properties: Mapping[str, Any]) -> ControlInfo:
    """From a variable's properties by name (OPC 10000-8 5.3): unit, names of its states, limits.

    The range of normal operation (EURange) gives LOW and HIGH where the server names no limits of alarms.
    """
    unit = properties.get("EngineeringUnits")
    name = (unit.DisplayName.Text or unit.Description.Text or "") if isinstance(unit, ua.EUInformation) else ""
    limits: dict[str, float] = {}
    normal = properties.get("EURange")
    if isinstance(normal, ua.Range) and normal.Low < normal.High:
        limits = {"LOW": float(normal.Low), "HIGH": float(normal.High)}
    for named, limit in _LIMIT_PROPERTIES.items():
        bound = properties.get(named)
        if isinstance(bound, int | float) and math.isfinite(bound):
            limits[limit] = float(bound)
    return ControlInfo(name.strip(), _states(properties), limits)


def _states(properties: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the values from 0 on; a value in between that has no name is called by its number."""
    names: dict[int, str] = {}
    if isinstance(values := properties.get("EnumValues"), list):
        names = {int(value.Value): _text(value.DisplayName) for value in values if isinstance(value, ua.EnumValueType)}
    elif isinstance(strings := properties.get("EnumStrings"), list):
        names = {i: _text(string) for i, string in enumerate(strings)}
    elif "TrueState" in properties and "FalseState" in properties:
        names = {0: _text(properties["FalseState"]), 1: _text(properties["TrueState"])}
    if not names or min(names) < 0 or max(names) >= _MOST_STATES:
        return ()
    return tuple(names.get(i) or str(i) for i in range(max(names) + 1))


def _text(text: Any) -> str:  # noqa: ANN401 - what a server sends
    return str(text.Text or "") if isinstance(text, ua.LocalizedText) else str(text)


def _is_property(reference: ua.ReferenceDescription) -> bool:
    return bool(reference.ReferenceTypeId == _HAS_PROPERTY)


def _is_standard(type_id: object, identifiers: Iterable[int]) -> bool:
    return isinstance(type_id, ua.NodeId) and type_id.NamespaceIndex == 0 and type_id.Identifier in identifiers


def _local(node: ua.NodeId) -> ua.NodeId:
    """References name nodes with a server; requests take them without."""
    return ua.NodeId(node.Identifier, node.NamespaceIndex, node.NodeIdType)


def _parts(nodes: Sequence[ua.NodeId], size: int) -> Iterator[Sequence[ua.NodeId]]:
    return (nodes[start : start + size] for start in range(0, len(nodes), size))


async def _read(client: Client, nodes: Sequence[ua.NodeId], attribute: ua.AttributeIds) -> list[Any]:
    parameters = ua.ReadParameters()
    parameters.NodesToRead = [ua.ReadValueId(node, attribute) for node in nodes]
    results = await client.uaclient.read(parameters)
    return [data.Value.Value if data.Value is not None and quality_of(status_of(data)) is Quality.GOOD else None for data in results]
