"""Stage 3: captions are repaired and judged; what can be mended by asking again is; the rest is set aside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from wavcaps_assets.captioning.rule_counts import RuleCount, count_by_rule
from wavcaps_assets.rules.judging import Candidate, Finding, Judged, judge
from wavcaps_assets.rules.rule import Verdict
from wavcaps_assets.rules.settings import RuleSettings
from wavcaps_assets.tables import CAPTIONS, DROPPED, LLM_CAPTIONS
from wavcaps_assets.tables.stage import Stage, drop

STAGE = "captions"
SHOWN_CHARS = 120


@dataclass(frozen=True)
class Rejected:
    """A caption that is to be asked about again, and what is wrong with it."""

    text: str
    caption: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class SecondAnswer:
    """What a second question brought.

    Attributes:
        caption: None: there is no answer that can be matched.
        answer_id: the answer's key in the response ledger.
        problem: why there is no caption.
        model, prompt_version: what was asked, and how.
    """

    caption: str | None
    answer_id: str | None
    problem: str = ""
    model: str | None = None
    prompt_version: str | None = None


# Asks about captions again, the first time with 0: an answer for each, in their order.
Ask = Callable[[Sequence[Rejected], int], Sequence[SecondAnswer]]


@dataclass
class Case:
    """A caption of stage 2, each judgement of it and of the answers that followed, the last of these."""

    row: Mapping[str, Any]
    judgements: list[Judged]
    answer: SecondAnswer | None = None
    problem: str = ""

    @property
    def last(self) -> Judged:
        return self.judgements[-1]

    @property
    def can_be_asked(self) -> bool:
        """A template, or rules, would only say the same again."""
        by_model = self.row["answer_id"] is not None
        return by_model and not self.problem and self.last.verdict is Verdict.ASK_AGAIN


@dataclass(frozen=True)
class Postprocessed:
    """The outcome of stage 3, what each rule did, and how many captions were asked about again."""

    stage: Stage
    by_rule: list[RuleCount]
    asked_again: int


def postprocess(
    captions: pa.Table,
    settings: RuleSettings,
    ask: Ask | None = None,
    shown: Mapping[str, tuple[str, ...]] | None = None,
) -> Postprocessed:
    """Repairs and judges every caption of stage 2, and asks about some again.

    Args:
        captions: `tables.LLM_CAPTIONS`.
        ask: asks the model again, up to `settings.second_questions` times a caption; None: nothing is
            asked. Captions that no model wrote are never asked about.
        shown: what the model was shown besides the text, by `prompt_version`; for the rule `echo`.

    Returns:
        `tables.CAPTIONS`, and the clips whose caption a rule does not take in the end, with that rule
        as the reason and every complaint in the detail.

    Raises:
        Whatever `ask` raises.
    """
    rows = LLM_CAPTIONS.check(captions).to_pylist()
    told = shown or {}
    candidates = [_candidate(row, row["caption"], told) for row in rows]
    cases = [Case(row, [judged]) for row, judged in zip(rows, judge(candidates, settings), strict=True)]
    asked_again = 0
    for turn in range(settings.second_questions if ask is not None else 0):
        waiting = [case for case in cases if case.can_be_asked]
        if not waiting or ask is None:
            break
        asked_again += len(waiting)
        rejected = [
            Rejected(case.row["text"], case.last.caption, tuple(case.last.complaints)) for case in waiting
        ]
        _judge_answers(waiting, ask(rejected, turn), settings, told)
    kept = [_published(case) for case in cases if case.last.accepted]
    dropped = [_dropped(case) for case in cases if not case.last.accepted]
    stage = Stage(CAPTIONS.from_rows(kept), DROPPED.from_rows(dropped))
    counted = count_by_rule((case.row["clip_id"], case.row["caption"], case.judgements) for case in cases)
    return Postprocessed(stage, counted, asked_again)


def _candidate(
    row: Mapping[str, Any], caption: str, told: Mapping[str, tuple[str, ...]], second: str | None = None
) -> Candidate:
    """A caption with what the model was shown by the prompt of stage 2, and by that of a second question."""
    shown = (*told.get(row["prompt_version"], ()), *told.get(second or "", ()))
    return Candidate(caption, row["text"], shown)


def _judge_answers(
    cases: Sequence[Case],
    answers: Sequence[SecondAnswer],
    settings: RuleSettings,
    told: Mapping[str, tuple[str, ...]],
) -> None:
    answered: list[Case] = []
    candidates = []
    for case, answer in zip(cases, answers, strict=True):
        if answer.caption is None:
            case.problem = answer.problem
            continue
        case.answer = answer
        answered.append(case)
        candidates.append(_candidate(case.row, answer.caption, told, answer.prompt_version))
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
        detail += f"; asked again, without an answer that can be used: {case.problem}"
    return drop(case.row["clip_id"], case.row["source"], STAGE, last.complaints[0].rule, detail)
