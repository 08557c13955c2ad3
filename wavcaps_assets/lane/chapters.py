"""The jobs of the lane, in the order of the lineage graph."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from wavcaps_assets.lane.runs import Job
from wavcaps_assets.sources.base import Source

ASSETS, TRAINING = "wavcaps_assets", "wavcaps_training"


class Stop(StrEnum):
    """The chapters, by the names with which a person says where to stop."""

    CRAWL = "crawl"
    CAPTIONS = "captions"
    PUBLISH = "publish"
    TRAIN = "train"
    REPORT = "report"


TITLES = {
    Stop.CRAWL: "Crawling the sources",
    Stop.CAPTIONS: "Filtering, captioning and post-processing",
    Stop.PUBLISH: "Publishing the set",
    Stop.TRAIN: "Training, on the train split, and scoring, on the test split",
    Stop.REPORT: "Writing the report",
}


@dataclass(frozen=True)
class Training:
    """How the model is trained.

    Attributes:
        config: of the steps, by their names.
        execution: of the executor.
    """

    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    execution: Mapping[str, Any] = field(default_factory=dict)


# With live sources: a model that trains in minutes on a laptop, also without a GPU.
TINY = Training({"checkpoint__htsat_bert__own_split": {"size": "tiny"}}, {"on_missing_cuda": "cpu"})


def chapters(
    sources: Sequence[Source],
    finished: Mapping[str, Collection[str]],
    training: Training,
    last: Stop = Stop.REPORT,
) -> dict[str, list[Job]]:
    """The jobs up to a chapter, by the chapters' titles.

    Args:
        sources: those that take part.
        finished: for each source, the partitions that are not crawled again.
        training: how the model is trained.
        last: the last chapter.
    """
    jobs = {
        Stop.CRAWL: [
            Job(ASSETS, f"crawl_{source.name}", partition)
            for source in sources
            for partition in source.partitions()
            if partition not in finished.get(source.name, ())
        ],
        Stop.CAPTIONS: [Job(ASSETS, "caption_source", source.name) for source in sources],
        Stop.PUBLISH: [Job(ASSETS, "publish")],
        Stop.TRAIN: [
            Job(TRAINING, "train_and_score", config=training.config, execution=training.execution),
            Job(TRAINING, "index_for_search", execution=training.execution),
        ],
        Stop.REPORT: [Job(ASSETS, "update_status"), Job(TRAINING, "write_report")],
    }
    order = list(Stop)
    return {TITLES[stop]: jobs[stop] for stop in order[: order.index(last) + 1]}
