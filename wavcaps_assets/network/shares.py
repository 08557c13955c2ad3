"""How machines divide a host's limit: each holds a share, and all shares together are the limit at most.

A limit of n requests in any span is n slots, each of which may be used once in a span. A machine spends the
slots of its share as its own limit. Slots that it used in the last span stay in its share, so that no other
machine uses them too early.
"""

from __future__ import annotations

from dataclasses import dataclass

# Limits of longer spans are leased in blocks: a machine that dies leaves little unused.
LONG_SPAN_S = 300.0
BLOCKS = 20


@dataclass(frozen=True)
class Share:
    """One machine's part of a limit.

    Attributes:
        of: the limit, as this machine has it in its settings.
        held: the slots that it may use.
        waits: it needs more than it holds.
    """

    of: int
    held: int
    waits: bool


@dataclass(frozen=True)
class Need:
    """What a machine knows of its share.

    Attributes:
        of: the limit in its settings.
        used: the slots used in the last span.
        asks: a request waits for a slot.
        idle: there was no request for a while.
        keeps: it has held its slots for too short a time to pass them on, where there are fewer slots than
            machines.
        gave: it has just passed slots on, and lets others take them.
    """

    of: int
    used: int
    asks: bool
    idle: bool
    keeps: bool
    gave: bool


def is_used_up(held: int, used: int) -> bool:
    """Whether a share is too small. A slot is often free again just when the next request comes."""
    return used >= held - held // 10


def new_share(need: Need, held: int, seconds: float, others: list[tuple[Share, bool]]) -> int:
    """How many slots a machine holds from now on. It may keep more: those that it used in the last span.

    Args:
        held: the slots that it holds now.
        seconds: the limit's span.
        others: the shares of other machines, and whether each machine was seen alive lately.
    """
    # Machines with different settings keep to the smallest limit.
    limit = min([need.of, *(share.of for share, _ in others)])
    free = max(limit - sum(share.held for share, _ in others), 0)
    waiting = sum(share.waits and alive for share, alive in others)
    satisfied = sum(share.held for share, alive in others if not (share.waits and alive))
    fair = max(limit - satisfied, 0) // (1 + waiting)
    before = held
    if need.asks:
        goal = need.used + (limit if seconds <= LONG_SPAN_S else max(limit // BLOCKS, 1))
        most = free if not waiting else fair if fair or need.gave else 1
        held = max(held, min(goal, most))
    elif need.idle:
        held = 0
    if waiting and (fair or (before and not need.keeps)):
        held = min(held, fair)
    return min(held, free)
