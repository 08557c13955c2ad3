"""Captions of labelled sound events by template, without a model (section III.A names this way too)."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

from wavcaps_assets.captioning.texts import merged_labels

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
    """Content hash of the template's data, the counterpart of a prompt's version."""
    return hashlib.sha256(_file_text().encode()).hexdigest()[:12]


def clause(label: str) -> str:
    """A clause for a label: its own, else one that holds for any name of a sound."""
    if label in clauses():
        return clauses()[label]
    name = label.partition(",")[0].partition("(")[0].strip().lower()
    return f"there is the sound of {name}"


def caption_events(events: Sequence[Mapping[str, Any]], max_words: int) -> str:
    """One sentence of what sounds, in order of onset: "A dog barks while a door creaks.".

    Two sounds that overlap are joined by "while", two that do not by "and then". The last ones are
    left out where the sentence would grow longer than `max_words`; sounds whose clause is the same
    are told once.

    Args:
        events: `onset_s`, `offset_s` and `label` of each; at least one.
        max_words: the most words that the sentence may have.
    """
    told = list(dict.fromkeys(clause(label) for label in merged_labels(events)))
    while len(told) > 1 and len(_joined(told, "and then").split()) > max_words:
        told.pop()
    sentence = _joined(told, "while" if _any_overlap(events) else "and then")
    return sentence[0].upper() + sentence[1:] + "."


def _joined(told: Sequence[str], pair_word: str) -> str:
    if len(told) == 2:
        return f"{told[0]} {pair_word} {told[1]}"
    return " and ".join([", ".join(told[:-1]), told[-1]]) if len(told) > 1 else told[0]


def _any_overlap(events: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two events of different labels sound at the same time at some moment."""
    return any(
        one["label"] != other["label"]
        and one["onset_s"] < other["offset_s"]
        and other["onset_s"] < one["offset_s"]
        for one in events
        for other in events
    )
