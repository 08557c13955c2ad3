"""What a change is worth: trains both sides with several seeds, and compares them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from wavcaps_assets.publishing.version_diff import counts_of
from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.set_versions import SetVersions
from wavcaps_training.data import AudioReadError
from wavcaps_training.evaluation.guessing import chance_recall
from wavcaps_training.evaluation.ranking import DEPTHS
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT, changed
from wavcaps_training.settings.training import TrainingSettings
from wavcaps_training.tables import WORTH
from wavcaps_training.worth.composing import Comparison, NothingToCompare, compose
from wavcaps_training.worth.frozen import Texts
from wavcaps_training.worth.pools import Pool, read_pool, values_of
from wavcaps_training.worth.seed_runs import DIRECTIONS, RUNS, Machine, Ranks, features_of_pool, ranks_of
from wavcaps_training.worth.sides import BEFORE_STAGE_1, FILTER, BadSide, parse_side
from wavcaps_training.worth.statistics import (
    Contributions,
    averaged,
    contributions,
    difference,
    holm,
    interval_of_score,
)

BOTH = "both"
BEFORE, AFTER = "before", "after"
# The first is the default of a run.
FIRST_SEED = 20
NO_PROGRESS = NoProgress()

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """The model that both sides are trained with.

    Attributes:
        name: for people.
        settings: of the model and the run; its seed is replaced.
        seeds: of each side, at least two.
    """

    name: str
    settings: TrainingSettings
    seeds: Sequence[int]


@dataclass(frozen=True)
class Question:
    """What is compared with what.

    Attributes:
        before, after: sides.
        references: the side whose captions the test clips are searched by; `before` or `after`: of these.
    """

    before: str
    after: str
    references: str = BEFORE


@dataclass(frozen=True)
class Answer:
    """What a change is worth.

    Attributes:
        comparison: what was compared.
        rows: of `tables.WORTH`; the corrected p-values are missing.
    """

    comparison: Comparison
    rows: list[dict[str, Any]]

    @property
    def identical(self) -> bool:
        """Whether both sides are trained on the same, so that nothing was trained."""
        return self.comparison.before.sha256 == self.comparison.after.sha256


def model_of(changes: Mapping[str, Any], seeds: int) -> Model:
    """The demo's model, with some of its settings changed, and this many seeds.

    Raises:
        ValidationError: an unknown setting, or a value that it does not allow.
    """
    settings = changed(DEMO_EXPERIMENT.settings(), changes)
    assert isinstance(settings, TrainingSettings)
    with_changes = f" with {', '.join(_named(changes))}" if changes else ""
    name = f"{DEMO_EXPERIMENT.name}{with_changes}"
    return Model(name, settings, range(FIRST_SEED, FIRST_SEED + seeds))


def _named(changes: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Changed settings as one writes them: `model.audio.encoder=htsat`."""
    for name, value in changes.items():
        if isinstance(value, Mapping):
            yield from _named(value, f"{path}{name}.")
        else:
            yield f"{path}{name}={value}"


def last_change(tables: TableStore) -> Question:
    """The newest version and the one before it; the raw texts before stage 1, if it is the first version.

    Raises:
        UnknownSetVersion: nothing was published.
    """
    newest = SetVersions(tables.store).find("latest")
    return Question(newest.previous or BEFORE_STAGE_1, newest.name)


def each_value(kind: str, of: str, tables: TableStore) -> list[Question]:
    """What each source, filter, licence, model or prompt of a side is worth: without it, and with it.

    Args:
        kind: of `sides.KINDS`.
        of: the side.

    Raises:
        BadSide: it has none, or one only.
    """
    found = values_of(kind, read_pool(parse_side(of), tables), tables)
    if len(found) < (1 if kind == FILTER else 2):
        raise BadSide(f"{of} has {len(found)} values of {kind}: there is nothing to leave out")
    side = parse_side(of)
    without = (replace(side, without=(*side.without, (kind, (value,)))) for value in found)
    return [Question(str(one), of, AFTER) for one in without]


def answer(
    questions: Sequence[Question],
    model: Model,
    tables: TableStore,
    machine: Machine,
    progress: Progress = NO_PROGRESS,
) -> list[Answer]:
    """Answers questions. Sides that several of them share are trained once.

    Args:
        progress: counts trained seeds.

    Raises:
        BadSide: a side is not understood, or names what there is not.
        NothingToCompare: a side has too few clips, or both have no test clips in common.
        AudioReadError: the audio of too many clips is not in the store.
        ValueError: there are fewer than two seeds, or one recording.
        TrainingError, BrokenEmbeddings, TextModelError, StoreError: as training and scoring do.
    """
    seeds = list(dict.fromkeys(model.seeds))
    if len(seeds) < 2:
        raise NothingToCompare(
            "one seed says nothing of chance: give at least two seeds, better five or more"
        )
    pools: dict[str, Pool] = {}
    comparisons = [_composed(question, tables, pools) for question in questions]
    for comparison in comparisons:
        recordings = int(comparison.recordings.max()) + 1
        if recordings < 2:
            raise NothingToCompare(
                f"all {len(comparison.test)} test clips are from one recording, which says nothing of others"
            )
    todo = 2 * len(seeds) * len(comparisons)
    answers, done = [], 0
    for comparison in comparisons:
        ranks: dict[str, list[Ranks]] = {BEFORE: [], AFTER: []}
        if comparison.before.sha256 != comparison.after.sha256:
            features = _features(comparison, model, tables, machine)
            texts: dict[str, Texts] = {BEFORE: {}, AFTER: {}}
            for seed in seeds:
                # Both sides of a seed, so that a run that is killed has whole pairs.
                for name, side in ((BEFORE, comparison.before), (AFTER, comparison.after)):
                    settings = model.settings.model_copy(update={"seed": seed})
                    found = ranks_of(side, comparison, settings, features, tables.store, machine, texts[name])
                    ranks[name].append(found)
                    done += 1
                    progress.update(done, todo)
            _check_same_clips(comparison, [*ranks[BEFORE], *ranks[AFTER]])
        answers.append(Answer(comparison, list(_rows(comparison, ranks, model.name, len(seeds)))))
    return answers


def _check_same_clips(comparison: Comparison, ranks: Sequence[Ranks]) -> None:
    """Refuses seeds that were scored on different clips: those whose audio could be read then."""
    scored = sorted({len(one.clips) for one in ranks})
    if any(not np.array_equal(one.clips, ranks[0].clips) for one in ranks):
        raise NothingToCompare(
            f"{comparison.before.name} and {comparison.after.name}: some seeds were scored on {scored[0]} "
            f"test clips, and others on {scored[-1]} or on other ones, because audio came to the store or "
            f"left it in between. Remove the store's folder {RUNS} and compare again"
        )


def table_of(answers: Sequence[Answer]) -> pa.Table:
    """`tables.WORTH`, with p-values that are corrected for all conclusions."""
    rows = [dict(row) for one in answers for row in one.rows]
    deciding = [row for row in rows if row["decides"] and row["p"] is not None]
    for row, corrected in zip(deciding, holm([row["p"] for row in deciding]), strict=True):
        row["p_corrected"] = corrected
    return WORTH.from_rows(rows)


def _composed(question: Question, tables: TableStore, pools: dict[str, Pool]) -> Comparison:
    references = {BEFORE: question.before, AFTER: question.after}.get(
        question.references, question.references
    )
    for text in (question.before, question.after, references):
        if text not in pools:
            pools[text] = read_pool(parse_side(text), tables)
    return compose(pools[question.before], pools[question.after], pools[references], tables)


def _features(
    comparison: Comparison, model: Model, tables: TableStore, machine: Machine
) -> Mapping[str, Any]:
    try:
        return features_of_pool(comparison.heard, model.settings, tables, machine.device)
    except AudioReadError as error:
        raise AudioReadError(
            f"{comparison.before.name} and {comparison.after.name}: {error}. Sounds that left the store "
            "cannot be trained or tested on: fetch them again, or compare other sides"
        ) from error


def _rows(
    comparison: Comparison, ranks: Mapping[str, Sequence[Ranks]], model: str, seeds: int
) -> Iterator[dict[str, Any]]:
    before, after = comparison.before, comparison.after
    counted = counts_of(comparison.changes)
    trained = bool(ranks[BEFORE])
    clips = len(ranks[BEFORE][0].clips) if trained else len(comparison.test)
    of_all = {
        "before": before.name,
        "after": after.name,
        "seeds": seeds if trained else 0,
        "clips": clips,
        "recordings": len(np.unique(comparison.recordings[ranks[BEFORE][0].clips]))
        if trained
        else int(comparison.recordings.max()) + 1,
        "train_before": before.count("train"),
        "train_after": after.count("train"),
        **{name: counted[name] for name in ("added", "removed", "recaptioned")},
        "model": model,
        "before_sha256": before.sha256,
        "after_sha256": after.sha256,
    }
    for number, references in enumerate(comparison.references):
        for depth in DEPTHS:
            scores = {
                side: _scores(of_side, comparison, number, depth)
                for side, of_side in ranks.items()
                if of_side
            }
            for direction in (*DIRECTIONS, BOTH):
                yield {
                    **of_all,
                    "references": references.name,
                    "decides": number == 0 and direction == BOTH,
                    "direction": direction,
                    "metric": f"R@{depth}",
                    **(
                        _compared(scores[BEFORE][direction], scores[AFTER][direction]) if trained else NOTHING
                    ),
                    "chance": _chance(clips, direction, depth),
                    "p_corrected": None,
                }


SCORES = ("before_value", "before_low", "before_high", "after_value", "after_low", "after_high")
DIFFERENCES = ("difference", "low", "high", "bootstrap_low", "bootstrap_high", "p", "detectable")
NOTHING = dict.fromkeys((*SCORES, *DIFFERENCES))


def _scores(
    ranks: Sequence[Ranks], comparison: Comparison, references: int, depth: int
) -> dict[str, Contributions]:
    found = {}
    # Clips that cannot be read are the same for all seeds.
    _, numbers = np.unique(comparison.recordings[ranks[0].clips], return_inverse=True)
    number_of = dict(zip(ranks[0].clips.tolist(), numbers.tolist(), strict=True))
    for direction in DIRECTIONS:
        hits = np.stack([one.of_queries[references, direction][0] < depth for one in ranks])
        places = ranks[0].of_queries[references, direction][1]
        found[direction] = contributions(hits, np.array([number_of[place] for place in places.tolist()]))
    return {**found, BOTH: averaged(list(found.values()))}


def _compared(before: Contributions, after: Contributions) -> dict[str, float | None]:
    found = difference(before, after)
    (before_low, before_high), (after_low, after_high) = interval_of_score(before), interval_of_score(after)
    return {
        "before_value": before.score,
        "before_low": before_low,
        "before_high": before_high,
        "after_value": after.score,
        "after_low": after_low,
        "after_high": after_high,
        "difference": found.value,
        "low": found.low,
        "high": found.high,
        "bootstrap_low": found.bootstrap_low,
        "bootstrap_high": found.bootstrap_high,
        "p": found.p,
        "detectable": found.detectable,
    }


def _chance(clips: int, direction: str, depth: int) -> float:
    # Each test clip has one reference caption.
    to_audio = chance_recall(clips, depth)
    to_text = chance_recall(clips, depth, [1] * clips)
    return {DIRECTIONS[0]: to_audio, DIRECTIONS[1]: to_text, BOTH: (to_audio + to_text) / 2}[direction]
