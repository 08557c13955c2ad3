"""Whether a checkpoint was trained on a benchmark, decided from the clips that it was trained on.

In the literature this alone is worth 8 to 13 points of recall. A fine-tuned checkpoint was also trained on
what the checkpoint that it started from was trained on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.benchmarks import benchmark_named
from wavcaps_assets.benchmark_sets.benchmarks.benchmark import NO_SPLIT
from wavcaps_assets.benchmark_sets.evidence import NOBODY, SAME, clips_without_id, compared, overlaps_by_id
from wavcaps_assets.benchmark_sets.exclusion_lists import LISTED
from wavcaps_assets.benchmark_sets.heard import AUDIO_OVERLAPS
from wavcaps_assets.benchmark_sets.sets import SETS
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.data.manifest_version import rows_sha256

TRAIN, TEST = "train", "test"
MANIFEST = "training_manifest"
Key = Sequence[str]


@dataclass(frozen=True)
class TrainedOn:
    """Whether a checkpoint was trained on a benchmark.

    Attributes:
        benchmark: whether it was trained on clips of the benchmark's train split, or of any if it has no
            splits; None: not known.
        why: how that is known, or why it is not, in one sentence.
        scored_clips: how many of the scored clips it was trained on; None: not known.
    """

    benchmark: bool | None
    why: str
    scored_clips: int | None = None


class TrainingData(ABC):
    """What is known of the clips that a checkpoint was trained on."""

    @abstractmethod
    def trained_on(self, benchmark: str, listed: pa.Table, scored: Sequence[str]) -> TrainedOn:
        """Whether it was trained on a benchmark.

        Args:
            benchmark: its name.
            listed: all its clips, `tables.BENCHMARK_CLIPS`.
            scored: the ids of those that were scored.
        """


@dataclass(frozen=True)
class Described(TrainingData):
    """What the authors of a checkpoint say of it, or that nothing is known.

    Attributes:
        benchmarks: for each benchmark, whether it was trained on its train split; one that is not there: not
            known.
        source: who says so, or why nothing is known.
    """

    benchmarks: Mapping[str, bool]
    source: str

    def trained_on(self, benchmark: str, listed: pa.Table, scored: Sequence[str]) -> TrainedOn:
        return TrainedOn(self.benchmarks.get(benchmark), self.source)


@dataclass(frozen=True)
class Training:
    """One training of a checkpoint, or of one that it started from.

    Attributes:
        checkpoint: which one, such as `htsat_bert/pretraining`.
        manifest_sha256: the version of its training manifest; None: not known.
        manifest: the key of the asset that the training manifest was; None: look for it in the store.
    """

    checkpoint: str
    manifest_sha256: str | None
    manifest: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Several(TrainingData):
    """All trainings that made a checkpoint: its own, and those of the checkpoints that it started from."""

    parts: Sequence[TrainingData]

    def trained_on(self, benchmark: str, listed: pa.Table, scored: Sequence[str]) -> TrainedOn:
        return _together(part.trained_on(benchmark, listed, scored) for part in self.parts)


@dataclass(frozen=True)
class FromManifest(TrainingData):
    """The training manifest of one training.

    Attributes:
        tables: has the training manifests.
        training: the training.
        ids_of: by source, the source whose ids its clips have, for sources that were imported.
    """

    tables: TableStore
    training: Training
    ids_of: Mapping[str, str] = field(default_factory=lambda: NOBODY)

    def trained_on(self, benchmark: str, listed: pa.Table, scored: Sequence[str]) -> TrainedOn:
        training = self.training
        key = find_manifest(self.tables, training)
        if key is None:
            return TrainedOn(
                None,
                f"the training manifest of {training.checkpoint} is not in the store, or has changed since",
            )
        columns = ["clip_id", "source", "split"]
        clips = self.tables.read(key, [WHOLE], columns)
        clips = clips.filter(pc.equal(clips["split"], TRAIN))
        shared = self._shared(clips, benchmark, listed)
        counted = int(pc.sum(pc.is_in(pa.array(scored, pa.string()), shared)).as_py() or 0)
        leaked = f"; it was trained on {counted:,} of the clips that are scored" if counted else ""
        if not _is_decontaminated(key, benchmark, listed):
            leaked += f"; it was not decontaminated against {benchmark}"
        where = f"{'/'.join(key)} ({training.checkpoint})"
        own = int(pc.sum(pc.equal(clips["source"], benchmark)).as_py() or 0)
        train = _train_part(listed)
        of_train = int(pc.sum(pc.is_in(train, shared)).as_py() or 0)
        if own or of_train:
            number = max(own, of_train)
            return TrainedOn(True, f"{where} has {number:,} clips of its train split{leaked}", counted)
        if not _leaves_out(key, benchmark, listed):
            lacking = _lacking(benchmark, listed)
            if lacking:
                return TrainedOn(None, f"{lacking} to compare {where} with{leaked}", counted)
            neutral = self._neutral(clips, benchmark)
            if neutral:
                return TrainedOn(
                    None,
                    f"{where} has {neutral:,} clips without an id of FreeSound or YouTube, which may be in "
                    f"its train split under another name{leaked}",
                    counted,
                )
        return TrainedOn(False, f"{where} has no clip of its train split{leaked}", counted)

    def _neutral(self, clips: pa.Table, benchmark: str) -> int:
        """How many clips cannot be compared with those of a benchmark by their ids."""
        others = clips.filter(pc.not_equal(clips["source"], benchmark))
        return len(clips_without_id(compared(others, self.ids_of)))

    def _shared(self, clips: pa.Table, benchmark: str, listed: pa.Table) -> pa.Array:
        """The ids of the benchmark's clips that are in a training set: as such, by their ids, or by sound."""
        shared = [clips["clip_id"].combine_chunks()]
        by_id = overlaps_by_id(compared(clips, self.ids_of), listed, LISTED.empty_table())
        shared.append(by_id["benchmark_clip_id"].combine_chunks())
        heard = [AUDIO_OVERLAPS, benchmark]
        if self.tables.exists(heard, None):
            rows = self.tables.read(heard, [WHOLE], ["clip_id", "benchmark_clip_id", "verdict"])
            ids = clips["clip_id"].combine_chunks()
            same = pc.and_(pc.equal(rows["verdict"], SAME), pc.is_in(rows["clip_id"], value_set=ids))
            shared.append(rows.filter(same)["benchmark_clip_id"].combine_chunks())
        return pa.concat_arrays(shared)


def find_manifest(tables: TableStore, training: Training) -> tuple[str, ...] | None:
    """The key of the stored training manifest that a checkpoint was trained on; None: there is none."""
    if training.manifest_sha256 is None:
        return None
    everywhere = [(MANIFEST,), *((MANIFEST, name) for name in SETS)]
    for key in [training.manifest] if training.manifest is not None else everywhere:
        if tables.exists(key, None) and rows_sha256(tables.read(key, [WHOLE])) == training.manifest_sha256:
            return key
    return None


def _is_decontaminated(key: Key, benchmark: str, listed: pa.Table) -> bool:
    """Whether the clips that are scored were taken out of a training set when it was made."""
    scored = TEST if TEST in listed["split"].unique().to_pylist() else NO_SPLIT
    return scored in _excluded_splits(key, benchmark)


def _leaves_out(key: Key, benchmark: str, listed: pa.Table) -> bool:
    """Whether the clips that models may be trained on were taken out of a training set when it was made."""
    trainable = NO_SPLIT if listed["split"].unique().to_pylist() == [NO_SPLIT] else TRAIN
    return trainable in _excluded_splits(key, benchmark)


def _excluded_splits(key: Key, benchmark: str) -> frozenset[str]:
    training_set = SETS.get(key[-1])
    return frozenset() if training_set is None else training_set.excluded_splits(benchmark)


def _lacking(benchmark: str, listed: pa.Table) -> str:
    """What the lists lack to say that a training set has nothing of the train split; empty: nothing."""
    if not len(_train_part(listed)):
        return "the list of its train split is not there"
    sizes = benchmark_named(benchmark).official_clips
    whole = sizes.get(listed["version"][0].as_py()) or min(sizes.values(), default=0)
    if listed.num_rows < whole:
        return f"the lists of {benchmark} have only {listed.num_rows:,} of its {whole:,} clips"
    return ""


def _train_part(listed: pa.Table) -> pa.Array:
    """The ids of the clips that models may be trained on."""
    trainable = pc.is_in(listed["split"], pa.array([TRAIN, NO_SPLIT]))
    return listed.filter(trainable)["clip_id"].combine_chunks()


def _together(found: Iterable[TrainedOn]) -> TrainedOn:
    """The answer for all trainings of a checkpoint together."""
    answers = list(found)
    for wanted in (True, None, False):
        said = [answer.why for answer in answers if answer.benchmark is wanted]
        if said:
            counts = [answer.scored_clips for answer in answers]
            known = [count for count in counts if count is not None]
            # A clip that two trainings had may be counted twice; the larger count is certain.
            count = max(known) if len(known) == len(counts) else None
            return TrainedOn(wanted, "; ".join(said), count)
    return TrainedOn(None, "nothing is known of its training")
