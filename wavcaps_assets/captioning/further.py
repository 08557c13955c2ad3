"""Further captions of clips, of other kinds than the main one: tags, short, long, query, temporal.

A kind that a model makes is a prompt with a table `[further]`, and is asked about as in stage 2: with the
same response ledger, budget and leases. Stage 3's rules judge the answers, with the limits of the kind. A
clip whose further caption fails has none of that kind; its main caption does not depend on it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.captioning.breaker import NothingUsable
from wavcaps_assets.captioning.engine import caption_clips
from wavcaps_assets.captioning.floor import template, temporal
from wavcaps_assets.captioning.given import UNKNOWN
from wavcaps_assets.captioning.kinds import (
    MOST_TAGS,
    OF_TAGS,
    OF_TEMPLATE,
    OTHER,
    TAGS,
    TEMPORAL,
    kind_settings,
    require_known,
)
from wavcaps_assets.captioning.presets import choose_settings
from wavcaps_assets.captioning.prompts import load_prompt
from wavcaps_assets.captioning.settings import (
    CAPTIONING_PRESETS,
    CaptioningChoice,
    CaptioningSettings,
    Method,
)
from wavcaps_assets.captioning.texts import ClipField, clip_text, merged_labels
from wavcaps_assets.llm.chat import EndpointError
from wavcaps_assets.llm.prices import PriceError
from wavcaps_assets.llm.reservations import BudgetTooSmall
from wavcaps_assets.llm.session import Session
from wavcaps_assets.network.errors import Paused
from wavcaps_assets.rules.judging import Candidate, judge
from wavcaps_assets.rules.settings import RuleSettings
from wavcaps_assets.tables import OTHER_CAPTIONS

logger = logging.getLogger(__name__)

# What stops a kind, and not the others: its captions of before are kept.
STOPPED = (Paused, EndpointError, PriceError, BudgetTooSmall, NothingUsable)
TAGS_VERSION = "tags-1"
# The settings of a model that hold for every kind.
SHARED = ("concurrency", "requests_per_minute", "tokens_per_minute", "form", "batch_size")
AskSession = Callable[[CaptioningSettings], AbstractContextManager[Session]]


@dataclass
class Further:
    """The further captions of a source.

    Attributes:
        table: `tables.OTHER_CAPTIONS`.
        made: how many captions of each kind there are.
        rejected: how many captions of each kind each rule rejected, by `(kind, rule)`.
        stopped: why a kind was not finished, by its name; its earlier captions are kept.
    """

    table: pa.Table
    made: Counter[str] = field(default_factory=Counter[str])
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    stopped: dict[str, str] = field(default_factory=dict)


def further_captions(
    clips: pa.Table,
    source: str,
    kinds: Sequence[str],
    ask: Callable[[str], AskSession],
    choice: CaptioningChoice,
    *,
    embedded_model: bool = False,
    before: pa.Table | None = None,
) -> Further:
    """Makes captions of some kinds.

    Args:
        clips: `tables.FILTERED_CLIPS`, those with a main caption.
        source: the source's name.
        kinds: their names, see `kinds.known_kinds`.
        ask: gives, for a kind, what opens a session with the model.
        choice: settings to override, such as the form of lists; the prompt is the kind's.
        embedded_model: whether the model is the demo's small one.
        before: the captions that the source has, `tables.OTHER_CAPTIONS`, which stay for a kind that cannot
            be finished.

    Raises:
        ValueError: there is no such kind.
        PromptError: a kind's prompt is wrong.
        StoreError: the store cannot be read or written.
    """
    require_known(kinds)
    found = Further(OTHER_CAPTIONS.empty())
    tables = []
    for kind in dict.fromkeys(kinds):
        try:
            if kind in WITHOUT_MODEL:
                rows = WITHOUT_MODEL[kind](clips, found)
            else:
                rows = _by_model(clips, source, kind, choice, embedded_model, ask(kind), found)
            made = OTHER_CAPTIONS.from_rows(rows)
        except STOPPED as error:
            found.stopped[kind] = str(error)
            made = _earlier(before, clips, kind)
            logger.warning(
                "further captions of the kind %s are not finished, and %d of before are kept: %s",
                kind,
                len(made),
                error,
            )
        found.made[kind] = len(made)
        tables.append(made)
    found.table = pa.concat_tables([OTHER_CAPTIONS.empty(), *tables])
    return found


def given_captions(clips: pa.Table, given: pa.Table) -> pa.Table:
    """The captions that clips came with beside the first, of the kind `other`.

    Args:
        clips: those with a main caption, with the columns `clip_id` and `source`.
        given: `tables.IMPORTED_CLIPS`.

    Returns:
        `tables.OTHER_CAPTIONS`.
    """
    here = given.filter(pc.is_in(given.column("clip_id"), value_set=clips.column("clip_id").combine_chunks()))
    return OTHER_CAPTIONS.from_rows(
        _row(row, OTHER, number, caption, row["model"] or UNKNOWN, row["prompt_version"] or UNKNOWN)
        for row in here.select(["clip_id", "source", "captions", "model", "prompt_version"]).to_pylist()
        for number, caption in enumerate(row["captions"][1:], 1)
    )


def _by_model(
    clips: pa.Table,
    source: str,
    kind: str,
    choice: CaptioningChoice,
    embedded_model: bool,
    session_for: AskSession,
    found: Further,
) -> list[dict[str, Any]]:
    own = kind_settings(kind)
    shared = {name: getattr(choice, name) for name in SHARED}
    asked = CaptioningChoice(
        preset=choice.preset,
        prompt=kind,
        method=Method.MODEL,
        max_tokens=own.max_tokens,
        **shared,
    )
    settings = choose_settings(source, embedded_model, asked)
    # A model that is asked for few words is not asked again by the rules of another length.
    settings = settings.model_copy(update={"rules": CAPTIONING_PRESETS["paper"].rules})
    with session_for(settings) as session:
        captioned = caption_clips(clips, source, settings, session)
    shown = load_prompt(kind, source, settings.form).shown
    rows = captioned.stage.kept.to_pylist()
    found.rejected.update((kind, reason) for reason in captioned.stage.dropped.column("reason").to_pylist())
    return _judged(rows, kind, own.rules, shown, found)


def _tags(clips: pa.Table, found: Further) -> list[dict[str, Any]]:
    """The tags of each clip, or the labels of its events, as one text."""
    made = {"text": "", "model": template.MODEL_NAME, "prompt_version": TAGS_VERSION, "answer_id": None}
    rows = [
        {**row, **made, "caption": text}
        for row in clips.select(["clip_id", "source", "tags", "events"]).to_pylist()
        if (text := tags_of(row))
    ]
    return _judged(rows, TAGS, OF_TAGS, (), found)


def tags_of(clip: Mapping[str, Any]) -> str:
    """The tags of a clip, each once, or else its labels, separated by commas; empty if it has none.

    Where one has a comma itself, as "Male speech, man speaking", they are separated by semicolons.

    Args:
        clip: with `tags` and `events`.
    """
    text = clip_text(clip, (ClipField.TAGS,))
    tags = text.split(", ") if text else merged_labels(clip["events"])
    # Of "Dog" and "dog", the first.
    once: dict[str, str] = {}
    for tag in tags:
        once.setdefault(tag.casefold(), tag)
    shown = list(once.values())[:MOST_TAGS]
    return ("; " if any("," in tag for tag in shown) else ", ").join(shown)


def _in_time(clips: pa.Table, found: Further) -> list[dict[str, Any]]:
    """A sentence in temporal order of each clip with labelled events."""
    defaults = CaptioningSettings()
    limits = temporal.TimeLimits(defaults.max_events, defaults.least_overlap, OF_TEMPLATE.max_words)
    made = {"text": "", "model": template.MODEL_NAME, "prompt_version": temporal.version(limits)}
    rows = [
        {
            **row,
            **made,
            "answer_id": None,
            "caption": temporal.caption_in_time(row["events"], row["duration_s"], limits),
        }
        for row in clips.select(["clip_id", "source", "events", "duration_s"]).to_pylist()
        if row["events"]
    ]
    return _judged(rows, TEMPORAL, OF_TEMPLATE, (), found)


WITHOUT_MODEL: Mapping[str, Callable[[pa.Table, Further], list[dict[str, Any]]]] = {
    TAGS: _tags,
    TEMPORAL: _in_time,
}


def _judged(
    rows: Sequence[Mapping[str, Any]],
    kind: str,
    rules: RuleSettings,
    shown: tuple[str, ...],
    found: Further,
) -> list[dict[str, Any]]:
    """The captions that pass the rules, after repair."""
    candidates = [
        Candidate(row["caption"], row["text"], shown, template.sound_events(row.get("events")))
        for row in rows
    ]
    kept = []
    for row, judged in zip(rows, judge(candidates, rules), strict=True):
        if judged.accepted:
            caption = _row(row, kind, 1, judged.caption, row["model"], row["prompt_version"])
            kept.append({**caption, "answer_id": row["answer_id"], "repairs": judged.repairs})
        else:
            found.rejected[kind, judged.complaints[0].rule] += 1
    return kept


def _row(
    clip: Mapping[str, Any], kind: str, number: int, caption: str, model: str, prompt_version: str
) -> dict[str, Any]:
    return {
        "clip_id": clip["clip_id"],
        "source": clip["source"],
        "kind": kind,
        "number": number,
        "caption": caption,
        "model": model,
        "prompt_version": prompt_version,
        "answer_id": None,
        "repairs": [],
    }


def _earlier(before: pa.Table | None, clips: pa.Table, kind: str) -> pa.Table:
    """The captions of a kind that there were, of the clips that are still here."""
    if before is None:
        return OTHER_CAPTIONS.empty()
    here = pc.is_in(before.column("clip_id"), value_set=clips.column("clip_id").combine_chunks())
    return before.filter(pc.and_(here, pc.equal(before.column("kind"), kind)))
