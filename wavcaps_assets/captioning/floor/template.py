"""Captions of labelled sound events by a template, without a model (section III.A mentions it too)."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

from wavcaps_assets.captioning.texts import merged_labels
from wavcaps_assets.rules.reading import SoundEvent

MODEL_NAME = "template"
PHRASES_FILE = "label_phrases.csv"


def _file_text() -> str:
    return (resources.files("wavcaps_assets.captioning.floor") / PHRASES_FILE).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def clauses() -> dict[str, str]:
    """A clause such as "a dog barks" for each label that `label_phrases.csv` names."""
    return {row["label"]: row["clause"] for row in csv.DictReader(_file_text().splitlines())}


@lru_cache(maxsize=1)
def version() -> str:
    """Content hash of the template's data. It takes the place of a prompt's version."""
    return hashlib.sha256(_file_text().encode()).hexdigest()[:12]


def clause(label: str) -> str:
    """The clause of a label: its own, or a general one."""
    if label in clauses():
        return clauses()[label]
    name = label.partition(",")[0].partition("(")[0].strip().lower()
    return f"there is the sound of {name}"


def sound_events(events: Sequence[Mapping[str, Any]] | None) -> tuple[SoundEvent, ...]:
    """A clip's labelled events for the rules, each with the clause of its label.

    Args:
        events: each with `onset_s`, `offset_s` (s) and `label`; None: there are none.
    """
    return tuple(
        SoundEvent(event["onset_s"], event["offset_s"], event["label"], clause(event["label"]))
        for event in events or ()
    )


def caption_events(events: Sequence[Mapping[str, Any]], max_words: int) -> str:
    """A sentence about the sounds in order of onset: "A dog barks while a door creaks.".

    Two sounds that overlap are joined by "while", two that do not by "and then". The last sounds are left
    out if the sentence would be longer than `max_words`. Sounds with the same clause appear once.

    Args:
        events: each with `onset_s`, `offset_s` (s) and `label`; at least one.
        max_words: the most words in the sentence.
    """
    parts = list(dict.fromkeys(clause(label) for label in merged_labels(events)))
    while len(parts) > 1 and len(_joined(parts, "and then").split()) > max_words:
        parts.pop()
    sentence = _joined(parts, "while" if _any_overlap(events) else "and then")
    return sentence[0].upper() + sentence[1:] + "."


def _joined(parts: Sequence[str], pair_word: str) -> str:
    if len(parts) == 2:
        return f"{parts[0]} {pair_word} {parts[1]}"
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def _any_overlap(events: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two events with different labels overlap in time."""
    return any(
        one["label"] != other["label"]
        and one["onset_s"] < other["offset_s"]
        and other["onset_s"] < one["offset_s"]
        for one in events
        for other in events
    )
