"""Stage 3: repairs and judges captions, asks the model again where that can help, and drops the rest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.captioning.floor.template import sound_events
from wavcaps_assets.captioning.prompts import find_prompt
from wavcaps_assets.captioning.rule_counts import RuleCount, RuleCounts
from wavcaps_assets.captioning.second_questions import Rejected, SecondAnswer, ask_again, second_prompts
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.llm.session import Session
from wavcaps_assets.rules.judging import Candidate, Finding, Judged, judge
from wavcaps_assets.rules.rule import Verdict
from wavcaps_assets.rules.settings import RuleSettings
from wavcaps_assets.tables import CAPTIONS, DROPPED, LLM_CAPTIONS
from wavcaps_assets.tables.stage import Stage, drop

logger = logging.getLogger(__name__)

STAGE = "captions"
# Rows that are Python objects at the same time: all rows of a source would take gigabytes. A multiple of the
# number of captions that the parser takes at once, so that it finds what it would find in the whole table.
ROWS = 10_240
# What is read of `tables.LLM_CAPTIONS`.
READ = ["clip_id", "source", "text", "caption", "prompt_version", "answer_id", "events"]
SHOWN_CHARS = 120


# Asks about captions again; the second argument counts from 0. Returns an answer for each, in their order.
Ask = Callable[[Sequence[Rejected], int], Sequence[SecondAnswer]]


@dataclass
class Case:
    """A caption of stage 2, its judgement and those of the answers that followed, and the last answer.

    Attributes:
        place: of its row in the table.
    """

    place: int
    row: Mapping[str, Any]
    judgements: list[Judged]
    answer: SecondAnswer | None = None
    problem: str = ""

    @property
    def last(self) -> Judged:
        return self.judgements[-1]

    @property
    def can_be_asked(self) -> bool:
        """Only a model can answer differently; a template or rules cannot."""
        by_model = self.row["answer_id"] is not None
        return by_model and not self.problem and self.last.verdict is Verdict.ASK_AGAIN


@dataclass(frozen=True)
class Part:
    """Some adjacent rows: what became of most of them, and the captions that the model is asked about.

    Attributes:
        kept: `tables.CAPTIONS`.
        dropped: `tables.DROPPED`.
        kept_places, dropped_places: the places of their rows.
    """

    kept: pa.Table
    dropped: pa.Table
    kept_places: list[int]
    dropped_places: list[int]
    waiting: list[Case]


@dataclass(frozen=True)
class Refined:
    """The captions of stage 3, what each rule did, and how many captions were asked about again."""

    stage: Stage
    by_rule: list[RuleCount]
    asked_again: int


def refine_source(
    captions: pa.Table,
    source: str,
    rules: RuleSettings,
    captioning: CaptioningSettings,
    session: Session,
) -> Refined:
    """As `refine_captions`, with a model that is asked again. Uses the session only if it has to ask.

    Args:
        captions: `tables.LLM_CAPTIONS`.
        source: the source's name.
        captioning: the settings that stage 2 captioned the source with.

    Raises:
        PromptError: there is no prompt preset for second questions of this name.
        Paused, EndpointError, PriceError, BudgetTooSmall, StoreError: as the methods of `Session`.
    """

    def ask(rejected: Sequence[Rejected], turn: int) -> Sequence[SecondAnswer]:
        logger.info("%d captions are asked about again (question %d about each)", len(rejected), turn + 2)
        return ask_again(rejected, turn, captioning, session)

    return refine_captions(captions, rules, ask, _shown(captions, source) if rules.compares_prompt else {})


def _shown(captions: pa.Table, source: str) -> dict[str, tuple[str, ...]]:
    """The sentences that prompts show a model with the texts, by the prompt's version."""
    versions = pc.unique(captions.column("prompt_version")).to_pylist()
    first = (find_prompt(version, source) for version in versions)
    return {prompt.version: prompt.shown for prompt in (*first, *second_prompts()) if prompt is not None}


def refine_captions(
    captions: pa.Table,
    settings: RuleSettings,
    ask: Ask | None = None,
    shown: Mapping[str, tuple[str, ...]] | None = None,
) -> Refined:
    """Repairs and judges every caption of stage 2, and asks about some again.

    Args:
        captions: `tables.LLM_CAPTIONS`.
        ask: asks the model again, up to `settings.second_questions` times for each caption; None: nothing
            is asked. Captions that no model wrote are never asked about.
        shown: what the model was shown with the text, by `prompt_version`; for the rule `echo`.

    Returns:
        `tables.CAPTIONS`. Clips whose last caption a rule rejects are dropped, with that rule as the
        reason and all complaints in the detail.

    Raises:
        Exception: raised by `ask`.
    """
    shown, counts = shown or {}, RuleCounts()
    turns = settings.second_questions if ask is not None else 0
    parts = [_part(cases, turns > 0, counts) for cases in _judged(captions, settings, shown)]
    waiting = [case for part in parts for case in part.waiting]
    asked_again = 0
    for turn in range(turns):
        waiting = [case for case in waiting if case.can_be_asked]
        if not waiting or ask is None:
            break
        asked_again += len(waiting)
        rejected = [
            Rejected(case.row["text"], case.last.caption, tuple(case.last.complaints)) for case in waiting
        ]
        _judge_answers(waiting, ask(rejected, turn), settings, shown)
    finished = [_finished(part, counts) for part in parts]
    kept = pa.concat_tables([CAPTIONS.empty(), *(part.kept for part in finished)])
    dropped = pa.concat_tables([DROPPED.empty(), *(part.dropped for part in finished)])
    return Refined(Stage(kept, dropped), counts.most_first(), asked_again)


def _judged(
    captions: pa.Table, settings: RuleSettings, shown: Mapping[str, tuple[str, ...]]
) -> Iterator[list[Case]]:
    """The captions with their first judgement, some rows at a time."""
    place = 0
    for batch in LLM_CAPTIONS.check(captions).select(READ).to_batches(max_chunksize=ROWS):
        rows = batch.to_pylist()
        judgements = judge([_candidate(row, row["caption"], shown) for row in rows], settings)
        yield [
            Case(place + number, row, [judged])
            for number, (row, judged) in enumerate(zip(rows, judgements, strict=True))
        ]
        place += len(rows)


def _part(cases: Sequence[Case], asks: bool, counts: RuleCounts) -> Part:
    """What became of captions; if `asks`, those that the model can be asked about are waiting."""
    waiting = [case for case in cases if asks and case.can_be_asked]
    settled = [case for case in cases if not (asks and case.can_be_asked)]
    for case in settled:
        counts.add(case.place, case.row["clip_id"], case.row["caption"], case.judgements)
    kept = [case for case in settled if case.last.accepted]
    dropped = [case for case in settled if not case.last.accepted]
    return Part(
        CAPTIONS.from_rows(_published(case) for case in kept),
        DROPPED.from_rows(_dropped(case) for case in dropped),
        [case.place for case in kept],
        [case.place for case in dropped],
        waiting,
    )


def _finished(part: Part, counts: RuleCounts) -> Part:
    """With the captions that were waiting, in the order of the table."""
    if not part.waiting:
        return part
    asked = _part(part.waiting, asks=False, counts=counts)
    kept_places = part.kept_places + asked.kept_places
    dropped_places = part.dropped_places + asked.dropped_places
    return Part(
        _in_order(pa.concat_tables([part.kept, asked.kept]), kept_places),
        _in_order(pa.concat_tables([part.dropped, asked.dropped]), dropped_places),
        sorted(kept_places),
        sorted(dropped_places),
        [],
    )


def _in_order(table: pa.Table, places: Sequence[int]) -> pa.Table:
    return table.take(pc.sort_indices(pa.array(places, pa.int64())))


def _candidate(
    row: Mapping[str, Any], caption: str, shown: Mapping[str, tuple[str, ...]], second: str | None = None
) -> Candidate:
    """A caption with what the prompts of stage 2 and of a second question showed the model."""
    sentences = (*shown.get(row["prompt_version"], ()), *shown.get(second or "", ()))
    return Candidate(caption, row["text"], sentences, sound_events(row["events"]))


def _judge_answers(
    cases: Sequence[Case],
    answers: Sequence[SecondAnswer],
    settings: RuleSettings,
    shown: Mapping[str, tuple[str, ...]],
) -> None:
    answered: list[Case] = []
    candidates = []
    for case, answer in zip(cases, answers, strict=True):
        if answer.caption is None:
            case.problem = answer.problem
            continue
        case.answer = answer
        answered.append(case)
        candidates.append(_candidate(case.row, answer.caption, shown, answer.prompt_version))
    for case, judged in zip(answered, judge(candidates, settings), strict=True):
        case.judgements.append(judged)


def _published(case: Case) -> dict[str, Any]:
    first, last = case.row["caption"], case.last
    findings = [
        {"judgement": number, "rule": found.rule, "verdict": found.verdict.value, "detail": found.detail}
        for number, judged in enumerate(case.judgements)
        for found in (*(Finding(name, Verdict.REPAIR, "") for name in judged.repairs), *judged.findings)
    ]
    return {
        "clip_id": case.row["clip_id"],
        "source": case.row["source"],
        "text": case.row["text"],
        "caption": last.caption,
        "repairs": last.repairs,
        "verdict": case.judgements[0].verdict.value,
        "findings": findings,
        "first_caption": first if first != last.caption else None,
        "second_answer_id": case.answer.answer_id if case.answer else None,
        "second_model": case.answer.model if case.answer else None,
        "second_prompt_version": case.answer.prompt_version if case.answer else None,
    }


def _dropped(case: Case) -> dict[str, Any]:
    first, last = case.judgements[0], case.last
    detail = f"{last.complaint}: {last.caption[:SHOWN_CHARS]!r}"
    if last is not first:
        detail += f"; asked because of {first.complaint}: {first.caption[:SHOWN_CHARS]!r}"
    if case.problem:
        detail += f"; asked again, without a usable answer: {case.problem}"
    return drop(case.row["clip_id"], case.row["source"], STAGE, last.complaints[0].rule, detail)
