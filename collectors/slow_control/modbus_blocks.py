"""Which registers are read together: neighbours in one request, and those that an answer was refused for, apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from collectors.slow_control.modbus_registers import Item, RegisterTable

MAX_REGISTERS, MAX_SWITCHES = 125, 2000
"""Of one request: Modbus application protocol 1.1b3, sections 6.1 to 6.4."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some items whose addresses are read in one request, in rising order."""

    items: tuple[Item, ...]

    @property
    def device_id(self) -> int:
        """The unit that has them."""
        return self.items[0].device_id

    @property
    def table(self) -> RegisterTable:
        """The table they are in."""
        return self.items[0].register.table

    @property
    def start(self) -> int:
        """The first address."""
        return self.items[0].address

    @property
    def count(self) -> int:
        """Number of addresses."""
        return max(item.end for item in self.items) - self.start

    def runs(self) -> list[Block]:
        """The parts of the block that have no unused address between them."""
        return join(self.items, max_gap=0, max_registers=MAX_REGISTERS)

    def halves(self) -> list[Block]:
        """The block in two."""
        middle = len(self.items) // 2
        return [Block(self.items[:middle]), Block(self.items[middle:])]


def join(items: Iterable[Item], *, max_gap: int, max_registers: int, apart: Iterable[Item] = (), cuts: Iterable[Item] = ()) -> list[Block]:
    """Blocks of all items. `apart`: read by themselves; `cuts`: a gap before these is not bridged."""
    alone, cut = set(apart), set(cuts)
    blocks: list[Block] = []
    open_items: list[Item] = []
    end = 0
    for item in sorted(items, key=lambda item: (item.device_id, item.register.table, item.address, item.end)):
        limit = MAX_SWITCHES if item.register.is_switch else max_registers
        fits = (
            bool(open_items)
            and _same_table(open_items[0], item)
            and item.address - end <= (0 if item in cut else max_gap)
            and max(end, item.end) - open_items[0].address <= limit
            and item not in alone
            and open_items[-1] not in alone
        )
        if open_items and not fits:
            blocks.append(Block(tuple(open_items)))
            open_items = []
        end = max(end, item.end) if open_items else item.end
        open_items.append(item)
    return [*blocks, Block(tuple(open_items))] if open_items else blocks


def _same_table(one: Item, other: Item) -> bool:
    return (one.device_id, one.register.table) == (other.device_id, other.register.table)


class Plan:
    """The requests of a turn. It learns from what is refused: a bad register is read alone, a bad gap is not bridged again."""

    def __init__(self, items: Sequence[Item], *, max_gap: int, max_registers: int) -> None:
        self._items = tuple(items)
        self._max_gap = max_gap
        self._max_registers = max_registers
        self._apart: set[Item] = set()
        self._cuts: set[Item] = set()
        self._blocks: list[Block] | None = None

    def blocks(self) -> list[Block]:
        """All requests, as few as allowed."""
        if self._blocks is None:
            limits = {"max_gap": self._max_gap, "max_registers": self._max_registers}
            self._blocks = join(self._items, **limits, apart=self._apart, cuts=self._cuts)
        return self._blocks

    def split(self, block: Block) -> list[Block]:
        """What to ask for instead of a block that was refused: none where it is a single item."""
        if len(block.items) == 1:
            self._mark(block.items[0], is_apart=True)
            return []
        runs = block.runs()
        if len(runs) == 1:
            return block.halves()
        self._cuts.update(run.items[0] for run in runs[1:])
        self._blocks = None
        return runs

    def answered(self, block: Block) -> None:
        """Says that a block was read: an item that was read alone goes with its neighbours again."""
        if len(block.items) == 1:
            self._mark(block.items[0], is_apart=False)

    def _mark(self, item: Item, *, is_apart: bool) -> None:
        if (item in self._apart) is not is_apart:
            (self._apart.add if is_apart else self._apart.discard)(item)
            self._blocks = None
