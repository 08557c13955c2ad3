"""Which partitions a schedule requests: missing ones, a few at a time, and a failing one only a few times."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field


class BackfillSettings(BaseModel):
    """How fast a source's partitions are crawled."""

    partitions_per_tick: int = Field(4, ge=1, description="runs requested at one tick")
    attempts: int = Field(3, ge=1, description="failed runs after which a partition is no longer requested")
    again_after_h: float = Field(
        24.0,
        gt=0,
        description="wait before an incomplete partition is crawled again (h)",
    )
    interruptions: int = Field(
        30,
        ge=1,
        description="runs that died with their machine after which a partition is no longer requested",
    )


@dataclass(frozen=True)
class Choice:
    """The partitions of one tick.

    Attributes:
        partitions: to run now.
        given_up: missing, and failed too often: a person must look at them.
        missing: how many are missing.
        room: how many more could run.
    """

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
) -> Choice:
    """Chooses partitions, in their own order.

    Args:
        partitions: all partitions of the source.
        done: those that are materialized.
        running: those with a run that is queued or in progress.
        failures: for each partition, runs in which a step failed.
        interruptions: for each partition, runs whose process died.
    """
    missing = [name for name in partitions if name not in done]
    given_up = [
        name
        for name in missing
        if failures.get(name, 0) >= settings.attempts or interruptions.get(name, 0) >= settings.interruptions
    ]
    waiting = [name for name in missing if name not in running and name not in given_up]
    room = max(0, settings.partitions_per_tick - len([name for name in missing if name in running]))
    return Choice(waiting[:room], given_up, len(missing), room - len(waiting[:room]))
