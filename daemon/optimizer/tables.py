"""What the batch simulator reads and writes while it runs, as flat arrays.

A cluster is a list of nodes with processors. Jobs that wait are kept by rank (the policy), running jobs by their end and by their
expected end (start + requested time); each is a sorted stretch `items[which, first[which]:last[which]]`. Which processors a job holds
is a chain of slots: a node, a number, the next slot.
"""

from __future__ import annotations

from typing import NamedTuple

from daemon.optimizer.workload import Array, Integers

IN_SERVICE, DRAINING, OUT = 0, 1, 2
DRAIN, FAIL = 0, 1
FREE, CAPACITY, FREE_SLOT, NEXT_SUBMIT, NEXT_EVENT = 0, 1, 2, 3, 4
QUEUE, ENDS, EXPECTED = 0, 1, 2


class Tables(NamedTuple):
    """Everything the loop reads and writes. Shapes: jobs (n,), nodes (m,), events (e,), slots (number of all processors,)."""

    submit_s: Array
    run_s: Array
    requested_s: Array
    processors: Integers
    rank: Array
    start_s: Array  # NaN while a job does not run
    end_s: Array
    expected_end_s: Array
    lost_core_s: Array
    restarts: Integers
    slot: Integers  # first slot of a job, -1 for none
    slot_node: Integers
    slot_processors: Integers
    slot_next: Integers
    node_processors: Integers
    node_free: Integers
    node_busy: Integers
    node_state: Integers
    node_repair_s: Array
    node_back_s: Array  # when it comes back into service, inf where it does not
    node_empty_s: Array  # when a drained node had no job left
    node_repaired: Integers
    event_s: Array
    event_node: Integers
    event_kind: Integers
    event_repair_s: Array
    items: Integers  # (3, capacity): QUEUE, ENDS, EXPECTED
    first: Integers  # (3,)
    last: Integers  # (3,)
    counts: Integers
