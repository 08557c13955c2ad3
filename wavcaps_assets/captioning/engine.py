"""Stage 2: asks the model about every clip, keeps what the rules accept, sets the rest aside."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from wavcaps_assets.captioning.floor import template
from wavcaps_assets.captioning.grouping import Grouping, grouped
from wavcaps_assets.captioning.prompts import load_prompt
from wavcaps_assets.captioning.questions import planned
from wavcaps_assets.captioning.rounds import Asked, Rounds
from wavcaps_assets.captioning.settings import CaptioningSettings, Method
from wavcaps_assets.captioning.source_texts import STAGE, SourceTexts, read_texts
from wavcaps_assets.captioning.texts import AUDIOSET
from wavcaps_assets.llm.chat import ChatModel
from wavcaps_assets.llm.estimate import Planned
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.progress import Tell, Watch
from wavcaps_assets.llm.spending import Spending, Unlimited
from wavcaps_assets.tables import DROPPED, LLM_CAPTIONS
from wavcaps_assets.tables.stage import Stage, drop


def caption_clips(
    clips: pa.Table,
    source: str,
    settings: CaptioningSettings,
    model: ChatModel | None,
    ledger: ResponseLedger,
    progress: Tell | None = None,
    spending: Spending | None = None,
    watch: Watch | None = None,
) -> Stage:
    """Captions the clips of one source.

    The same question is asked once, however many clips it stands for. Every answer is in the ledger
    before it is looked at, and what the ledger holds is not asked again. Where the rules do not take
    an answer, the model is asked again, up to `max_attempts` times in all; then the clips are set aside.

    Args:
        clips: `tables.FILTERED_CLIPS`.
        source: the source's name, which chooses the prompt.
        model: may be None where the method is `template`.
        progress: told after each answer how many texts are done, of how many.
        spending: asked before each question and told of each answer; None: whatever it costs.
        watch: told after each answer how far it is, and what it took.

    Returns:
        `tables.LLM_CAPTIONS`, and the clips set aside as `empty_text`, `foreign_text`, `llm_failure`
        (the model says "Failure."), `no_answer`, `unusable_answer`, or, by rules, `no_rule`.

    Raises:
        PromptError: there is no such prompt preset.
        EndpointError: no question can be answered; the answers so far are in the ledger.
        Exception: whatever `spending.admit` raises, once all that was under way is in the ledger.
        ValueError: the method does not fit the source, or there is no model.
    """
    if settings.method is Method.TEMPLATE and source != AUDIOSET:
        raise ValueError(f"the template needs labelled sound events, which {source!r} does not have")
    if settings.method is Method.RULES and source == AUDIOSET:
        raise ValueError("the rules need texts; AudioSet's labelled events have the template")
    found = read_texts(clips, source, settings)
    if settings.method is Method.MODEL:
        if model is None:
            raise ValueError("the method `model` needs a model")
        grouping = group_texts(found, source, settings, model.name, ledger)
        return ask(found, grouping, source, settings, model, ledger, progress, spending, watch).stage
    texts = {clip.clip_id: clip.text for clip in found.clips}
    rows = [row for row in clips.to_pylist() if row["clip_id"] in texts]
    if settings.method is Method.TEMPLATE:
        kept = [_by_template(row, texts[row["clip_id"]], settings) for row in rows]
        return Stage(LLM_CAPTIONS.from_rows(kept), DROPPED.from_rows(found.dropped))
    kept, refused = _by_rules(rows, texts)
    return Stage(LLM_CAPTIONS.from_rows(kept), DROPPED.from_rows(found.dropped + refused))


@dataclass(frozen=True)
class Outcome:
    """What asking about a source came to.

    Attributes:
        taken: by the key of each record in the ledger, how many of the source's texts were asked with it,
            be it now or by an earlier run; those that brought no caption are among them.
    """

    stage: Stage
    taken: Mapping[str, int]


def group_texts(
    found: SourceTexts, source: str, settings: CaptioningSettings, model_name: str, ledger: ResponseLedger
) -> Grouping:
    """Which of a source's texts are asked about together, and which need not be.

    Raises:
        PromptError: there is no such prompt preset.
    """
    prompt = load_prompt(settings.prompt, source, settings.form)
    return grouped(found.questions, prompt, settings, model_name, ledger)


def ask(
    found: SourceTexts,
    grouping: Grouping,
    source: str,
    settings: CaptioningSettings,
    model: ChatModel,
    ledger: ResponseLedger,
    progress: Tell | None = None,
    spending: Spending | None = None,
    watch: Watch | None = None,
) -> Outcome:
    """As `caption_clips` by a model, of what has been read and grouped before."""
    prompt = load_prompt(settings.prompt, source, settings.form)
    asked = {question: Asked(question) for question in found.questions}
    rounds = Rounds(prompt, source, settings, model, ledger, spending or Unlimited(), progress, watch)
    asyncio.run(rounds.settle(list(asked.values()), grouping))
    kept: list[dict[str, Any]] = []
    dropped = list(found.dropped)
    for clip in found.clips:
        outcome = asked[clip.question]
        if outcome.accepted and outcome.parsed is not None:
            kept.append(
                {
                    "clip_id": clip.clip_id,
                    "source": clip.source,
                    "text": clip.text,
                    "caption": outcome.parsed.caption,
                    "model": model.name,
                    "prompt_version": prompt.version,
                    "answer_id": outcome.answer_id,
                    "attempts": outcome.attempts,
                }
            )
        else:
            dropped.append(drop(clip.clip_id, clip.source, STAGE, *outcome.reason()))
    return Outcome(Stage(LLM_CAPTIONS.from_rows(kept), DROPPED.from_rows(dropped)), rounds.taken)


def first_questions(
    grouping: Grouping, source: str, settings: CaptioningSettings, model_name: str, ledger: ResponseLedger
) -> Iterator[Planned]:
    """The questions that asking begins with; see `questions.planned`."""
    prompt = load_prompt(settings.prompt, source, settings.form)
    return planned(grouping.groups, prompt, settings, model_name, ledger)


def _by_rules(
    rows: list[dict[str, Any]], texts: dict[str, str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from wavcaps_assets.captioning.floor import rule_based

    kept, dropped = [], []
    pairs = [(texts[row["clip_id"]], row["title"]) for row in rows]
    for row, ruled in zip(rows, rule_based.caption_texts(pairs), strict=True):
        if ruled.caption is None:
            dropped.append(drop(row["clip_id"], row["source"], STAGE, ruled.reason, ruled.detail))
        else:
            made = {"model": rule_based.MODEL_NAME, "prompt_version": rule_based.version()}
            kept.append(_without_model(row, texts[row["clip_id"]], ruled.caption, **made))
    return kept, dropped


def _by_template(row: dict[str, Any], text: str, settings: CaptioningSettings) -> dict[str, Any]:
    caption = template.caption_events(row["events"], settings.rules.max_words)
    return _without_model(row, text, caption, model=template.MODEL_NAME, prompt_version=template.version())


def _without_model(row: dict[str, Any], text: str, caption: str, **made: str) -> dict[str, Any]:
    return {
        "clip_id": row["clip_id"],
        "source": row["source"],
        "text": text,
        "caption": caption,
        "answer_id": None,
        "attempts": 0,
        **made,
    }
