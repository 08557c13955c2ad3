"""Stage 2: asks the model about every clip, keeps what the rules accept, sets the rest aside."""

from __future__ import annotations

import asyncio
from typing import Any

import pyarrow as pa

from wavcaps_assets.captioning import template
from wavcaps_assets.captioning.chat import ChatModel
from wavcaps_assets.captioning.grouping import as_asked_before
from wavcaps_assets.captioning.ledger import Ledger, Question
from wavcaps_assets.captioning.progress import Tell, Watch
from wavcaps_assets.captioning.prompts import Message, load_prompt
from wavcaps_assets.captioning.rounds import Asked, Rounds, question_of
from wavcaps_assets.captioning.settings import CaptioningSettings, Method
from wavcaps_assets.captioning.spending import Spending, Unlimited
from wavcaps_assets.captioning.texts import AUDIOSET, clean, clip_text, first_sentence
from wavcaps_assets.postprocessing.language import foreign_language
from wavcaps_assets.schemas import DROPPED, FILTERED_CLIPS, LLM_CAPTIONS
from wavcaps_assets.stages import Stage, drop

STAGE = "llm_captions"


def caption_clips(
    clips: pa.Table,
    source: str,
    settings: CaptioningSettings,
    model: ChatModel | None,
    ledger: Ledger,
    progress: Tell | None = None,
    spending: Spending | None = None,
    watch: Watch | None = None,
) -> Stage:
    """Captions the clips of one source.

    The same question is asked once, however many clips it stands for. Every answer is in the ledger
    before it is looked at, and what the ledger holds is not asked again. Where the rules do not take
    an answer, the model is asked again, up to `max_attempts` times in all; then the clips are set aside.

    Args:
        clips: `schemas.FILTERED_CLIPS`.
        source: the source's name, which chooses the prompt.
        model: may be None where the method is `template`.
        progress: told after each answer how many texts are done, of how many.
        spending: asked before each question and told of each answer; None: whatever it costs.
        watch: told after each answer how far it is, and what it took.

    Returns:
        `schemas.LLM_CAPTIONS`, and the clips set aside as `empty_text`, `foreign_text`, `llm_failure`
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
    kept: list[dict[str, Any]] = []
    rows = FILTERED_CLIPS.check(clips).to_pylist()
    texts, dropped = _texts(rows, source, settings)
    rows = [row for row in rows if row["clip_id"] in texts]
    if settings.method is Method.TEMPLATE:
        kept = [_by_template(row, texts[row["clip_id"]], settings) for row in rows]
        return Stage(LLM_CAPTIONS.from_rows(kept), DROPPED.from_rows(dropped))
    if settings.method is Method.RULES:
        kept, refused = _by_rules(rows, texts)
        return Stage(LLM_CAPTIONS.from_rows(kept), DROPPED.from_rows(dropped + refused))
    if model is None:
        raise ValueError("the method `model` needs a model")
    prompt = load_prompt(settings.prompt, source, settings.form)
    questions = {clip_id: _question(text, settings) for clip_id, text in texts.items()}
    once = list(dict.fromkeys(questions.values()))
    ordered = as_asked_before(once, prompt.version, settings, model.name, ledger)
    asked = {question: Asked(question) for question in ordered}
    rounds = Rounds(prompt, source, settings, model, ledger, spending or Unlimited(), progress, watch)
    asyncio.run(rounds.settle(list(asked.values())))
    for row in rows:
        outcome = asked[questions[row["clip_id"]]]
        if outcome.accepted and outcome.parsed is not None:
            kept.append(
                {
                    "clip_id": row["clip_id"],
                    "source": row["source"],
                    "text": texts[row["clip_id"]],
                    "caption": outcome.parsed.caption,
                    "model": model.name,
                    "prompt_version": prompt.version,
                    "answer_id": outcome.answer_id,
                    "attempts": outcome.attempts,
                }
            )
        else:
            dropped.append(drop(row["clip_id"], row["source"], STAGE, *outcome.reason()))
    return Stage(LLM_CAPTIONS.from_rows(kept), DROPPED.from_rows(dropped))


def first_questions(
    clips: pa.Table, source: str, settings: CaptioningSettings, model_name: str, ledger: Ledger
) -> list[tuple[Question, list[Message]]]:
    """The questions that captioning begins with, and the messages that ask them; each once.

    Args:
        ledger: texts are put together as it answers them.

    Raises:
        PromptError: there is no such prompt preset.
    """
    prompt = load_prompt(settings.prompt, source, settings.form)
    texts, _ = _texts(FILTERED_CLIPS.check(clips).to_pylist(), source, settings)
    once = list(dict.fromkeys(_question(text, settings) for text in texts.values()))
    asked = as_asked_before(once, prompt.version, settings, model_name, ledger)
    size = settings.first_group
    questions = [
        question_of(prompt.version, settings, model_name, asked[start : start + size], 0)
        for start in range(0, len(asked), size)
    ]
    return [(question, prompt.messages(question.inputs)) for question in questions]


def _texts(
    rows: list[dict[str, Any]], source: str, settings: CaptioningSettings
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The text of each clip that has one, and the clips that are set aside for theirs."""
    texts: dict[str, str] = {}
    dropped = []
    for row in rows:
        text = clip_text(row, settings.text_from, settings.added, settings.max_text_chars)
        language = foreign_language(text) if settings.english_only and source != AUDIOSET else None
        if not text:
            dropped.append(drop(row["clip_id"], row["source"], STAGE, "empty_text", "it has no text"))
        elif language:
            dropped.append(
                drop(row["clip_id"], row["source"], STAGE, "foreign_text", f"{language}: {text[:80]}")
            )
        else:
            texts[row["clip_id"]] = text
    return texts, dropped


def _by_rules(
    rows: list[dict[str, Any]], texts: dict[str, str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from wavcaps_assets.captioning import rule_based

    kept, dropped = [], []
    pairs = [(texts[row["clip_id"]], row["title"]) for row in rows]
    for row, ruled in zip(rows, rule_based.caption_texts(pairs), strict=True):
        if ruled.caption is None:
            dropped.append(drop(row["clip_id"], row["source"], STAGE, ruled.reason, ruled.detail))
        else:
            made = {"model": rule_based.MODEL_NAME, "prompt_version": rule_based.version()}
            kept.append(_without_model(row, texts[row["clip_id"]], ruled.caption, **made))
    return kept, dropped


def _question(text: str, settings: CaptioningSettings) -> str:
    """What the model is given of a text."""
    if settings.first_sentence_only and not text.startswith("["):
        text = first_sentence(text, settings.max_text_chars) or text
    return clean(text, settings.max_text_chars)


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
