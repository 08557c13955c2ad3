"""Which partitions a schedule asks for: the missing ones, some at a time, a broken one not for ever."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field


class BackfillSettings(BaseModel):
    """How fast a source's partitions are filled."""

    partitions_per_tick: int = Field(4, ge=1, description="runs asked for at one tick")
    attempts: int = Field(3, ge=1, description="failed runs after which a partition is left to a person")
    again_after_h: float = Field(
        24.0,
        gt=0,
        description="after how long a partition is crawled again that lacks something (h)",
    )
    interruptions: int = Field(
        30, ge=1, description="runs that died with their machine after which it is left to a person, too"
    )


@dataclass(frozen=True)
class Request:
    """What to run now, what waits for a person, how many are missing, and how many more could run."""

    partitions: list[str]
    given_up: list[str]
    missing: int
    room: int = 0


def choose(
    partitions: Sequence[str],
    done: Collection[str],
    running: Collection[str],
    failures: Mapping[str, int],
    interruptions: Mapping[str, int],
    settings: BackfillSettings,
) -> Request:
    """Chooses partitions in their own order.

    Args:
        partitions: all of them.
        done: those that are materialized.
        running: those that a run is queued or under way for.
        failures: runs of each partition that failed by themselves.
        interruptions: runs of each partition whose process died.
    """
    missing = [name for name in partitions if name not in done]
    given_up = [
        name
        for name in missing
        if failures.get(name, 0) >= settings.attempts or interruptions.get(name, 0) >= settings.interruptions
    ]
    waiting = [name for name in missing if name not in running and name not in given_up]
    room = max(0, settings.partitions_per_tick - len([name for name in missing if name in running]))
    return Request(waiting[:room], given_up, len(missing), room - len(waiting[:room]))
