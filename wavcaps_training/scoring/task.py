"""The interface of a task that checkpoints are scored at, on benchmarks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from wavcaps_assets.settings import Sources
from wavcaps_assets.store.schema import TableSchema
from wavcaps_assets.store.storage import Store
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.scoring.scored_part import ScoredPart

TRAINED, CHANCE = "trained", "chance"


@dataclass(frozen=True)
class Scored:
    """What a task measured.

    Attributes:
        rows: of the task's table: `model` (`TRAINED` or `CHANCE`), `metric`, `value`, `low` and `high`, and
            the task's own columns. The columns that all tasks share are added; a row's own values win.
        clip_ids: the clips that were scored: those whose audio could be read.
        protocol_name: the name of the protocol.
        protocol: how the scores were made, in one sentence.
        device: what computed them.
        figures: by title, images in Markdown (`show.plots.as_markdown`).
    """

    rows: Sequence[Mapping[str, Any]]
    clip_ids: Sequence[str]
    protocol_name: str
    protocol: str
    device: str
    figures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BenchmarkScores:
    """The scores of a checkpoint on a benchmark.

    Attributes:
        table: of the task's schema.
        figures: by title, images in Markdown.
        partial: a sentence if not the whole benchmark was scored; empty: it was.
    """

    table: pa.Table
    figures: Mapping[str, str]
    partial: str


class ScoringTask(ABC):
    """A task. Definitions import it, so torch and what needs it are imported inside `score`.

    Attributes:
        name: in asset keys: `scores/<name>/<benchmark>/<model>/<setting>`.
        title: for people.
        models: the task of the models that it applies to, as their settings name it.
        benchmarks: the benchmarks, by name.
        demo_benchmarks: those of the demo.
        protocols: the names of the protocols; the first is the default.
        schema: of its table, made by `tables.score_columns.benchmark_scores`, and registered in `tables`
            under `scores/<name>/`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    models: ClassVar[str]
    benchmarks: ClassVar[tuple[str, ...]]
    demo_benchmarks: ClassVar[tuple[str, ...]] = ()
    protocols: ClassVar[tuple[str, ...]]
    schema: ClassVar[TableSchema]

    @abstractmethod
    def score(self, weights: Path, part: ScoredPart, store: Store, device: str, protocol: str) -> Scored:
        """Scores a checkpoint.

        Args:
            weights: the checkpoint, a safetensors file of this project.
            part: the clips to score, at least one, all with audio; and those that are listed.
            store: contains the audio.
            device: `cpu` or `cuda`.
            protocol: one of `protocols`.

        Raises:
            NothingToScore: the clips lack what the task needs, such as captions.
            CheckpointError: the file is of another task, or damaged.
            AudioReadError: the audio of too many clips cannot be read.
        """

    def benchmarks_for(self, sources: Sources) -> tuple[str, ...]:
        """The benchmarks that there are with these sources: the demo has its own."""
        return self.benchmarks if sources is Sources.LIVE else self.demo_benchmarks

    def scores_key(self, benchmark: str, checkpoint: str) -> tuple[str, ...]:
        """The key of the asset of a checkpoint's scores on a benchmark.

        Args:
            checkpoint: its model and its setting, such as `htsat_bert/zero_shot`.
        """
        return ("scores", self.name, benchmark, *checkpoint.split("/"))

    def protocol_named(self, name: str) -> str:
        """A protocol of the task; the default one for an empty name.

        Raises:
            NothingToScore: it has no such protocol; names those that it has.
        """
        if name and name not in self.protocols:
            known = ", ".join(self.protocols)
            raise NothingToScore(f"{self.name} has no protocol {name!r}: its protocols are {known}")
        return name or self.protocols[0]

    def shown_name(self, row: Mapping[str, Any]) -> str:
        """The name under which people see a score; empty: only the table has it.

        Args:
            row: of the task's table.
        """
        return str(row["metric"])
