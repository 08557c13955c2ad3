"""The content of the report, as data: everything that `report.html` shows, and nothing else.

`None` and empty tuples mean that the store does not have it yet; the page says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from wavcaps_assets.tables.set_versions import SetVersion
from wavcaps_training.report.analysis import Analysis
from wavcaps_training.report.benchmark_scores import BenchmarkTable
from wavcaps_training.report.comparison import PaperTable, PaperText
from wavcaps_training.report.field import FieldLine
from wavcaps_training.report.generated_sounds import GeneratedSounds
from wavcaps_training.report.short_queries import ShortQueries
from wavcaps_training.report.sound import Sound
from wavcaps_training.report.status import SourceStates
from wavcaps_training.report.stories import Story


@dataclass(frozen=True)
class StepTime:
    """The duration of a step of the run (s)."""

    step: str
    seconds: float


@dataclass(frozen=True)
class RunFacts:
    """Facts about the run that are not in the store.

    Attributes:
        corpus: a sentence or two on the origin of the clips; empty: none.
        times: its steps, in their order.
        settings: values of settings, by names for people.
    """

    corpus: str = ""
    times: tuple[StepTime, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DroppedClip:
    """A clip that was dropped, as an example."""

    clip_id: str
    text: str
    detail: str


@dataclass(frozen=True)
class Reason:
    """How many clips of a source a step dropped for one reason, with the first of them."""

    step: str
    reason: str
    clips: int
    example: DroppedClip


@dataclass(frozen=True)
class Funnel:
    """What happened to every record that was found.

    Attributes:
        title: the source's name for people.
        steps: clips left after each of `funnel.STEPS`; None: the step has not run.
        reasons: all dropped clips, each counted at the first step that dropped it.
        waiting: records that are neither dropped nor published yet.
    """

    title: str
    steps: tuple[int | None, ...]
    reasons: tuple[Reason, ...]
    waiting: int

    @property
    def dropped(self) -> int:
        return sum(reason.clips for reason in self.reasons)


@dataclass(frozen=True)
class Example:
    """A published clip: its raw text, its caption and, if its file is there, its sound."""

    clip_id: str
    text: str
    caption: str
    author: str
    licence: str
    duration_s: float
    sound: Sound | None = None


@dataclass(frozen=True)
class Published:
    """The published clips of one source.

    Attributes:
        durations_s: the duration of each clip (s).
        words: the length of each caption, in words as the analysis counts them.
        examples: every `every`-th clip in the order of clip ids, starting with the first.
    """

    title: str
    durations_s: tuple[float, ...]
    words: tuple[int, ...]
    examples: tuple[Example, ...]
    every: int

    @property
    def clips(self) -> int:
        return len(self.durations_s)


@dataclass(frozen=True)
class Counted:
    """How many clips have a property in common, such as a licence or the model of their captions."""

    name: str
    clips: int


@dataclass(frozen=True)
class Training:
    """How the checkpoint was trained; fields as in `tables.CHECKPOINT`."""

    model: str
    setting: str
    parameters: int
    trainable_parameters: int
    train_clips: int
    validation_clips: int
    seconds: float
    device: str
    best_epoch: int
    settings_json: str
    learning_curve: tuple[Mapping[str, Any], ...]
    unreadable_clips: list[str] | None = None


@dataclass(frozen=True)
class Score:
    """A score and its 95 % bootstrap interval over recordings; None: it has none, or is of an older table."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Scores:
    """Retrieval on the test split.

    Attributes:
        clips: how many clips were scored.
        unreadable: clips that were left out, because their audio could not be read.
        values: by direction, model and metric, as in `tables.RETRIEVAL_SCORES`.
        sharing_a_caption: test clips with the same caption as another test clip; None: not known.
        stale: a sentence if the checkpoint was trained again since; empty: it was not, or not known.
        protocol: which part of a long clip was heard; empty: not known.
        recordings: of the scored clips, which the intervals draw again; None: not known.
        versions: the version of the set that was trained on, and the one whose test clips were scored; None:
            not known.
        other_set: a sentence if the set that is published now is another version; empty: it is not, or not
            known.
    """

    clips: int
    values: Mapping[str, Mapping[str, Mapping[str, Score]]]
    sharing_a_caption: int | None
    unreadable: int = 0
    stale: str = ""
    protocol: str = ""
    recordings: int | None = None
    versions: tuple[str, str] | None = None
    other_set: str = ""


@dataclass(frozen=True)
class SeedMean:
    """A score over several seeds; fields as in `tables.SEED_SCORES`."""

    value: float
    low: float | None
    high: float | None
    deviation: float | None


@dataclass(frozen=True)
class Seeds:
    """The same model trained with several seeds.

    Attributes:
        seeds: the seeds.
        values: by direction and metric, the score of each seed, in their order.
        means: by direction and metric.
    """

    seeds: tuple[int, ...]
    values: Mapping[str, Mapping[str, tuple[float, ...]]]
    means: Mapping[str, Mapping[str, SeedMean]]


@dataclass(frozen=True)
class SetChange:
    """A clip that a version of the set changed, as an example; texts are empty where there are none."""

    clip_id: str
    before: str
    after: str
    why: str


@dataclass(frozen=True)
class SetHistory:
    """The published versions of the set.

    Attributes:
        versions: the newest ones, the newest first.
        number: how many there are.
        changes: examples of what the newest one changed, by the kind of change.
    """

    versions: tuple[SetVersion, ...]
    number: int
    changes: Mapping[str, tuple[SetChange, ...]]


@dataclass(frozen=True)
class Size:
    """A folder of the store: the number of its files and of their bytes."""

    folder: str
    files: int
    bytes: int


@dataclass(frozen=True)
class ReportData:
    """A whole report."""

    written: datetime
    run: RunFacts
    status: SourceStates | None = None
    funnels: tuple[Funnel, ...] = ()
    published: tuple[Published, ...] = ()
    models: tuple[Counted, ...] = ()
    licences: tuple[Counted, ...] = ()
    authors: int = 0
    training: Training | None = None
    scores: Scores | None = None
    seeds: Seeds | None = None
    other_scores: Mapping[str, Scores] = field(default_factory=dict)
    benchmarks: tuple[BenchmarkTable, ...] = ()
    short_queries: tuple[ShortQueries, ...] = ()
    generated: tuple[GeneratedSounds, ...] = ()
    paper: tuple[PaperTable, ...] = ()
    paper_texts: tuple[PaperText, ...] = ()
    paper_outdated: Sequence[str] = ()
    in_the_field: tuple[FieldLine, ...] = ()
    sizes: tuple[Size, ...] = ()
    analysis: Analysis | None = None
    stories: tuple[Story, ...] = ()
    set_history: SetHistory | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def clips(self) -> int:
        return sum(source.clips for source in self.published)

    @property
    def hours(self) -> float:
        return sum(sum(source.durations_s) for source in self.published) / 3600
