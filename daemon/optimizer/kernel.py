"""The loop of the batch simulator in machine code. Import it only where a simulation starts: it imports numba."""

from __future__ import annotations

import numpy as np

from daemon.optimizer.machine_code import inlined, machine_code
from daemon.optimizer.tables import (
    CAPACITY,
    DRAINING,
    ENDS,
    EXPECTED,
    FAIL,
    FREE,
    FREE_SLOT,
    IN_SERVICE,
    NEXT_EVENT,
    NEXT_SUBMIT,
    OUT,
    QUEUE,
    Tables,
)
from daemon.optimizer.workload import Array, Integers


@inlined
def insert(t: Tables, which: int, keys: Array, job: int) -> None:
    """Puts a job where its key belongs, after those with the same key."""
    items = t.items[which]
    first, last = t.first[which], t.last[which]
    if last == len(items):
        for i in range(first, last):
            items[i - first] = items[i]
        first, last = 0, last - first
        t.first[which] = 0
    low, high = first, last
    while low < high:
        middle = (low + high) // 2
        if keys[items[middle]] <= keys[job]:
            low = middle + 1
        else:
            high = middle
    for i in range(last, low, -1):
        items[i] = items[i - 1]
    items[low] = job
    t.last[which] = last + 1


@inlined
def remove(t: Tables, which: int, keys: Array, job: int) -> None:
    """Takes a job out."""
    items = t.items[which]
    low, high = t.first[which], t.last[which]
    while low < high:
        middle = (low + high) // 2
        if keys[items[middle]] < keys[job]:
            low = middle + 1
        else:
            high = middle
    while items[low] != job:
        low += 1
    for i in range(low, t.first[which], -1):
        items[i] = items[i - 1]
    t.first[which] += 1


@inlined
def hold(t: Tables, job: int, node: int, processors: int) -> None:
    """Gives a job processors of a node, whether they are free or not."""
    slot = t.counts[FREE_SLOT]
    t.counts[FREE_SLOT] = t.slot_next[slot]
    t.slot_node[slot] = node
    t.slot_processors[slot] = processors
    t.slot_next[slot] = t.slot[job]
    t.slot[job] = slot
    t.node_busy[node] += processors
    if t.node_state[node] == IN_SERVICE:
        t.node_free[node] -= processors
        t.counts[FREE] -= processors


@inlined
def run(t: Tables, job: int, start_s: float) -> None:
    """Notes a job as running since a time."""
    t.start_s[job] = start_s
    t.end_s[job] = start_s + t.run_s[job]
    t.expected_end_s[job] = start_s + t.requested_s[job]
    insert(t, ENDS, t.end_s, job)
    insert(t, EXPECTED, t.expected_end_s, job)


@machine_code
def resume(t: Tables, jobs: Integers, nodes: Integers, processors: Integers, started_s: Array) -> None:
    """Puts jobs that run already where they run; the entries of one job follow each other."""
    for i in range(len(jobs)):
        hold(t, jobs[i], nodes[i], processors[i])
        if i == 0 or jobs[i] != jobs[i - 1]:
            run(t, jobs[i], started_s[i])


@inlined
def place(t: Tables, job: int) -> None:
    """Processors for a job that fits: of the first node that holds all of it, else of the first nodes that have any."""
    left = t.processors[job]
    for node in range(len(t.node_free)):
        if t.node_free[node] >= left:
            hold(t, job, node, left)
            return
    for node in range(len(t.node_free)):
        part = min(left, t.node_free[node])
        if part > 0:
            hold(t, job, node, part)
            left -= part
        if left == 0:
            return


@inlined
def leave(t: Tables, job: int, now_s: float) -> None:
    """Frees what a job holds; a drained node that is empty then goes to repair."""
    slot = t.slot[job]
    while slot >= 0:
        node, processors = t.slot_node[slot], t.slot_processors[slot]
        t.node_busy[node] -= processors
        if t.node_state[node] == IN_SERVICE:
            t.node_free[node] += processors
            t.counts[FREE] += processors
        elif t.node_state[node] == DRAINING and t.node_busy[node] == 0:
            take_out(t, node, now_s, t.node_repair_s[node])
        following = t.slot_next[slot]
        t.slot_next[slot] = t.counts[FREE_SLOT]
        t.counts[FREE_SLOT] = slot
        slot = following
    t.slot[job] = -1
    remove(t, EXPECTED, t.expected_end_s, job)


@inlined
def close(t: Tables, node: int) -> None:
    """No new jobs on a node from now on."""
    if t.node_state[node] == IN_SERVICE:
        t.counts[FREE] -= t.node_free[node]
        t.counts[CAPACITY] -= t.node_processors[node]
        t.node_free[node] = 0
        t.node_state[node] = DRAINING


@inlined
def take_out(t: Tables, node: int, now_s: float, repair_s: float) -> None:
    """A node that has no jobs any more is repaired."""
    t.node_state[node] = OUT
    t.node_empty_s[node] = now_s
    t.node_back_s[node] = now_s + repair_s


@inlined
def kill(t: Tables, node: int, now_s: float) -> None:
    """Ends all jobs that hold processors of a node; they wait again and start from their beginning."""
    t.node_state[node] = OUT
    running = t.items[ENDS][t.first[ENDS] : t.last[ENDS]].copy()
    for job in running:
        slot = t.slot[job]
        while slot >= 0 and t.slot_node[slot] != node:
            slot = t.slot_next[slot]
        if slot < 0:
            continue
        remove(t, ENDS, t.end_s, job)
        leave(t, job, now_s)
        t.lost_core_s[job] += t.processors[job] * (now_s - t.start_s[job])
        t.restarts[job] += 1
        t.start_s[job] = np.nan
        insert(t, QUEUE, t.rank, job)


@inlined
def change(t: Tables, event: int, now_s: float) -> None:
    """Drains or fails a node. One that was repaired since, or is out, is not hit by what threatened it before."""
    node = t.event_node[event]
    if t.node_state[node] == OUT or t.node_repaired[node]:
        return
    close(t, node)
    t.node_repair_s[node] = t.event_repair_s[event]
    if t.event_kind[event] == FAIL:
        kill(t, node, now_s)
    if t.node_busy[node] == 0:
        take_out(t, node, now_s, t.event_repair_s[event])


@inlined
def come_back(t: Tables, now_s: float) -> None:
    """Repaired nodes take jobs again."""
    for node in range(len(t.node_back_s)):
        if t.node_back_s[node] <= now_s:
            t.node_back_s[node] = np.inf
            t.node_state[node] = IN_SERVICE
            t.node_repaired[node] = 1
            t.node_free[node] = t.node_processors[node]
            t.counts[FREE] += t.node_processors[node]
            t.counts[CAPACITY] += t.node_processors[node]


@inlined
def reservation(t: Tables, needed: int, now_s: float) -> tuple[float, int]:
    """When the needed processors are expected to be free (the shadow time), and how many more are free then (the extra ones)."""
    available = t.counts[FREE]
    shadow_s = np.inf
    for i in range(t.first[EXPECTED], t.last[EXPECTED]):
        job = t.items[EXPECTED, i]
        expected_s = max(now_s, t.expected_end_s[job])
        if expected_s > shadow_s:
            break
        slot = t.slot[job]
        while slot >= 0:
            if t.node_state[t.slot_node[slot]] == IN_SERVICE:
                available += t.slot_processors[slot]
            slot = t.slot_next[slot]
        if available >= needed:
            shadow_s = expected_s
    return shadow_s, available - needed


@inlined
def schedule(t: Tables, now_s: float, backfill: bool) -> None:
    """Starts what may start now. A job larger than all nodes in service together holds nobody up."""
    queue, first, last = t.items[QUEUE], t.first[QUEUE], t.last[QUEUE]
    seen, started = first, 0
    reserved, shadow_s, extra = False, np.inf, 0
    while seen < last and t.counts[FREE] > 0:
        job = queue[seen]
        needed = t.processors[job]
        fits = needed <= t.counts[FREE]
        if not fits and not reserved and needed <= t.counts[CAPACITY]:
            if not backfill:
                break
            reserved = True
            shadow_s, extra = reservation(t, needed, now_s)
        in_time = now_s + t.requested_s[job] <= shadow_s
        if fits and (in_time or needed <= extra):
            if not in_time:
                extra -= needed
            place(t, job)
            run(t, job, now_s)
            started += 1
        seen += 1
    if started:
        kept = seen
        for i in range(seen - 1, first - 1, -1):
            if np.isnan(t.start_s[queue[i]]):
                kept -= 1
                queue[kept] = queue[i]
        t.first[QUEUE] = kept


@inlined
def next_time(t: Tables) -> float:
    """When something happens next; inf for never."""
    time_s = np.inf
    if t.counts[NEXT_SUBMIT] < len(t.submit_s):
        time_s = t.submit_s[t.counts[NEXT_SUBMIT]]
    if t.first[ENDS] < t.last[ENDS]:
        time_s = min(time_s, t.end_s[t.items[ENDS, t.first[ENDS]]])
    if t.counts[NEXT_EVENT] < len(t.event_s):
        time_s = min(time_s, t.event_s[t.counts[NEXT_EVENT]])
    for node in range(len(t.node_back_s)):
        time_s = min(time_s, t.node_back_s[node])
    return time_s


@inlined
def advance(t: Tables, now_s: float) -> None:
    """All that happens up to now: ends first, then submissions, then nodes."""
    while t.first[ENDS] < t.last[ENDS]:
        job = t.items[ENDS, t.first[ENDS]]
        if t.end_s[job] > now_s:
            break
        t.first[ENDS] += 1
        leave(t, job, now_s)
    while t.counts[NEXT_SUBMIT] < len(t.submit_s) and t.submit_s[t.counts[NEXT_SUBMIT]] <= now_s:
        if np.isnan(t.start_s[t.counts[NEXT_SUBMIT]]):
            insert(t, QUEUE, t.rank, t.counts[NEXT_SUBMIT])
        t.counts[NEXT_SUBMIT] += 1
    come_back(t, now_s)
    while t.counts[NEXT_EVENT] < len(t.event_s) and t.event_s[t.counts[NEXT_EVENT]] <= now_s:
        change(t, t.counts[NEXT_EVENT], now_s)
        t.counts[NEXT_EVENT] += 1


@machine_code
def loop(t: Tables, now_s: float, until_s: float, backfill: bool) -> None:
    """Goes from event to event until nothing happens any more or the time is up."""
    while True:
        time_s = next_time(t)
        if not time_s <= until_s or time_s == np.inf:
            return
        now_s = max(now_s, time_s)
        advance(t, now_s)
        schedule(t, now_s, backfill)
