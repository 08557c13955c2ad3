"""Stage 2: asks a model about each clip's text, and keeps the answers that the rules accept."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain
from sys import intern
from typing import Any, NamedTuple

import pyarrow as pa

from wavcaps_assets.captioning.floor import rule_based, template, temporal
from wavcaps_assets.captioning.given import keep_given
from wavcaps_assets.captioning.prompts import load_prompt
from wavcaps_assets.captioning.requests import first_requests, grouped
from wavcaps_assets.captioning.rounds import Rounds, TextState
from wavcaps_assets.captioning.settings import CaptioningSettings, Method
from wavcaps_assets.captioning.texts import AUDIOSET, clean, clip_text, first_of_list, first_sentence
from wavcaps_assets.llm.session import Session
from wavcaps_assets.rules.languages import foreign_languages
from wavcaps_assets.tables import DROPPED, FILTERED_CLIPS, LLM_CAPTIONS
from wavcaps_assets.tables.stage import Stage, drop

logger = logging.getLogger(__name__)

STAGE = "llm_captions"
# Rows that are Python objects at the same time: all rows of a source would take gigabytes. It is a multiple
# of what the parser takes at once.
ROWS = 20_480
DETAIL_CHARS = 80


class Provider(StrEnum):
    """How requests are sent: one by one, or through OpenAI's Batch API at half the price."""

    ONLINE = "online"
    BATCH = "batch"


@dataclass(frozen=True)
class Captioned:
    """A source's captions.

    Attributes:
        stage: `tables.LLM_CAPTIONS`, and the dropped clips.
        used: see `Rounds.used`. Empty without a model.
    """

    stage: Stage
    used: Mapping[str, int] = field(default_factory=Counter[str])


class ClipText(NamedTuple):
    """A clip with a text.

    Attributes:
        text: what the clip's fields say.
        given: the part of it that the model is given.
    """

    clip_id: str
    source: str
    text: str
    given: str


@dataclass(frozen=True)
class SourceTexts:
    """The texts of a source's clips.

    Attributes:
        clips: those with a text, in the table's order.
        dropped: those dropped as `empty_text` or `foreign_text`.
    """

    clips: list[ClipText] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)

    @property
    def given(self) -> list[str]:
        """What the model is given, without duplicates."""
        return list(dict.fromkeys(clip.given for clip in self.clips))


def caption_clips(
    clips: pa.Table,
    source: str,
    settings: CaptioningSettings,
    session: Session | None = None,
    provider: Provider = Provider.ONLINE,
    given: pa.Table | None = None,
) -> Captioned:
    """Captions the clips of one source.

    Clips with the same text share a request. Every answer is in the response ledger before it is used, and
    a request that the ledger answers is not sent. If the rules do not accept an answer, the model is asked
    again, up to `max_attempts` times; then the clips are dropped. With the batch provider, the texts that
    the batches leave unanswered are sent online.

    Args:
        clips: `tables.FILTERED_CLIPS`.
        source: the source's name, which selects the prompt.
        session: may be None for methods without a model.
        given: for the method `given`, the captions that the clips came with, `tables.IMPORTED_CLIPS`.

    Returns:
        The captions. Clips are dropped as `empty_text`, `foreign_text`, `llm_failure` (the model answers
        "Failure."), `no_answer`, `unusable_answer`, or, by the method `rules`, `no_rule`; by the method
        `given` only as `no_given_caption`.

    Raises:
        PromptError: there is no such prompt preset.
        ValueError: the method does not fit the source, or needs a session.
        NothingUsable: the first answers cannot be used.
        Paused, EndpointError, PriceError, BudgetTooSmall, StoreError: as the methods of `Session`.
    """
    if settings.method is Method.TEMPLATE and source != AUDIOSET:
        raise ValueError(f"the template needs labelled sound events, which {source!r} does not have")
    if settings.method is Method.RULES and source == AUDIOSET:
        raise ValueError("the rules need texts; use the template for AudioSet's labelled events")
    if settings.method is Method.MODEL and session is None:
        raise ValueError("the method `model` needs a session")
    if settings.method is Method.GIVEN:
        if given is None:
            raise ValueError(
                f"the clips of {source!r} came without captions, and the method `given` keeps those: choose "
                "another method"
            )
        return Captioned(_with_events(keep_given(clips, given), clips))
    texts = read_texts(clips, source, settings)
    if session is not None and settings.method is Method.MODEL:
        captioned = _by_model(texts, source, settings, session, provider)
    else:
        captioned = _without_session(clips, texts, settings)
    return replace(captioned, stage=_with_events(captioned.stage, clips))


def _without_session(clips: pa.Table, texts: SourceTexts, settings: CaptioningSettings) -> Captioned:
    text_of = {clip.clip_id: clip.text for clip in texts.clips}
    parts = []
    for batch in clips.to_batches(max_chunksize=ROWS):
        rows = [row for row in batch.to_pylist() if row["clip_id"] in text_of]
        if settings.method is Method.TEMPLATE:
            parts.append(_stage([_by_template(row, text_of[row["clip_id"]], settings) for row in rows], []))
        else:
            parts.append(_stage(*_by_rules(rows, text_of)))
    return Captioned(_joined(texts, parts))


def _stage(kept: list[dict[str, Any]], dropped: list[dict[str, Any]]) -> Stage:
    return Stage(LLM_CAPTIONS.from_rows(kept), DROPPED.from_rows(dropped))


def _joined(texts: SourceTexts, parts: Sequence[Stage]) -> Stage:
    """The outcome of a source from that of its parts, and the clips without a text to caption."""
    dropped = [DROPPED.from_rows(texts.dropped), *(part.dropped for part in parts)]
    kept = pa.concat_tables([LLM_CAPTIONS.empty(), *(part.kept for part in parts)])
    return Stage(kept, pa.concat_tables(dropped))


def _with_events(stage: Stage, clips: pa.Table) -> Stage:
    """The captions with the labelled events of their clips."""
    # Slow to import, and not needed to load the definitions.
    import pyarrow.compute as pc

    places = pc.index_in(stage.kept.column("clip_id"), value_set=clips.column("clip_id"))
    events = clips.column("events").take(places)
    some = pc.greater(pc.list_value_length(events), 0)
    column = stage.kept.schema.get_field_index("events")
    given = pc.if_else(some, events, pa.scalar(None, events.type))
    return replace(stage, kept=stage.kept.set_column(column, LLM_CAPTIONS.arrow.field("events"), given))


def read_texts(clips: pa.Table, source: str, settings: CaptioningSettings) -> SourceTexts:
    """Cleans the texts of a source's clips, and drops empty and foreign ones.

    Args:
        clips: `tables.FILTERED_CLIPS`.
        source: the source's name.
    """
    found = SourceTexts()
    fields = (*settings.text_from, *settings.added)
    columns = ["clip_id", "source", *dict.fromkeys(field.column for field in fields)]
    for batch in FILTERED_CLIPS.check(clips).select(columns).to_batches(max_chunksize=ROWS):
        rows = batch.to_pylist()
        texts = [clip_text(row, settings.text_from, settings.added, settings.max_text_chars) for row in rows]
        languages = _foreign(texts) if settings.english_only and source != AUDIOSET else {}
        for row, text in zip(rows, texts, strict=True):
            if not text:
                found.dropped.append(_dropped(row, "empty_text", "it has no text"))
            elif language := languages.get(text):
                found.dropped.append(_dropped(row, "foreign_text", f"{language}: {text[:DETAIL_CHARS]}"))
            else:
                given = _given(text, settings)
                found.clips.append(ClipText(row["clip_id"], intern(row["source"]), text, given))
    return found


def _by_model(
    texts: SourceTexts, source: str, settings: CaptioningSettings, session: Session, provider: Provider
) -> Captioned:
    prompt = load_prompt(settings.prompt, source, settings.form, settings.echo)
    states = {text: TextState(text) for text in texts.given}
    grouping = grouped(list(states), prompt, settings, session)
    by_batch = provider is Provider.BATCH
    if not by_batch:
        # What an earlier run asked by batch is not asked again.
        session.collect_batches()
    rounds = Rounds(prompt, settings, session)
    planned = rounds.plan(list(states.values()), grouping)
    lists = first_requests(
        grouping.groups, prompt, settings, session.model_name, session.settings.parameter_changes
    )
    answered = (request for request in lists if request in session.ledger)
    session.estimate(chain(planned, answered), by_batch, rounds.follow_ups())
    if by_batch:
        failed = session.batch(planned)
        if failed:
            reason = next(iter(failed.values()))
            logger.info(
                "%d requests got no answer by batch and are sent online; the first: %s", len(failed), reason
            )
    rounds.run()
    made_by = {"model": session.model_name, "prompt_version": prompt.version}
    parts = [
        _captioned(texts.clips[at : at + ROWS], states, made_by) for at in range(0, len(texts.clips), ROWS)
    ]
    return Captioned(_joined(texts, parts), rounds.used)


def _captioned(
    clips: Sequence[ClipText], states: Mapping[str, TextState], made_by: Mapping[str, str]
) -> Stage:
    kept: list[dict[str, Any]] = []
    dropped: list[dict[str, Any]] = []
    for clip in clips:
        state = states[clip.given]
        if state.accepted and state.parsed is not None:
            kept.append(
                {
                    "clip_id": clip.clip_id,
                    "source": clip.source,
                    "text": clip.text,
                    "caption": state.parsed.caption,
                    "answer_id": state.answer_id,
                    "attempts": state.attempts,
                    **made_by,
                }
            )
        else:
            dropped.append(drop(clip.clip_id, clip.source, STAGE, *state.reason()))
    return _stage(kept, dropped)


def _by_rules(
    rows: list[dict[str, Any]], texts: Mapping[str, str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    kept, dropped = [], []
    pairs = [(texts[row["clip_id"]], row["title"]) for row in rows]
    for row, ruled in zip(rows, rule_based.caption_texts(pairs), strict=True):
        if ruled.caption is None:
            dropped.append(_dropped(row, ruled.reason, ruled.detail))
        else:
            made_by = {"model": rule_based.MODEL_NAME, "prompt_version": rule_based.version()}
            kept.append(_without_model(row, texts[row["clip_id"]], ruled.caption, **made_by))
    return kept, dropped


def _by_template(row: Mapping[str, Any], text: str, settings: CaptioningSettings) -> dict[str, Any]:
    most_words = settings.rules.max_words
    if settings.temporal:
        limits = temporal.TimeLimits(settings.max_events, settings.least_overlap, most_words)
        caption = temporal.caption_in_time(row["events"], row["duration_s"], limits)
        version = temporal.version(limits)
    else:
        caption, version = template.caption_events(row["events"], most_words), template.version()
    return _without_model(row, text, caption, model=template.MODEL_NAME, prompt_version=version)


def _without_model(row: Mapping[str, Any], text: str, caption: str, **made_by: str) -> dict[str, Any]:
    return {
        "clip_id": row["clip_id"],
        "source": row["source"],
        "text": text,
        "caption": caption,
        "answer_id": None,
        "attempts": 0,
        **made_by,
    }


def _dropped(row: Mapping[str, Any], reason: str, detail: str) -> dict[str, Any]:
    return drop(row["clip_id"], row["source"], STAGE, reason, detail)


def _foreign(texts: Sequence[str]) -> dict[str, str | None]:
    """The language of each text; None: it may be English."""
    once = list(dict.fromkeys(texts))
    return dict(zip(once, foreign_languages(once), strict=True))


def _given(text: str, settings: CaptioningSettings) -> str:
    """The part of a text that the model is given."""
    if settings.temporal:
        return first_of_list(text, settings.max_text_chars)
    if settings.first_sentence_only and not text.startswith("["):
        text = first_sentence(text, settings.max_text_chars) or text
    return clean(text, settings.max_text_chars)
