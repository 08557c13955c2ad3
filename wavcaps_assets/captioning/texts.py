"""The raw text of a clip, as the model is given it. Crawled text is data: cleaned, bounded, one line."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

AUDIOSET = "audioset_sl"
# Far more than a caption can use; 95% of FreeSound's descriptions are shorter.
MAX_CHARS = 1000
# A name such as "DoorCreak" is at most this many words; in a longer text a word like that is a user's name.
NAME_WORDS = 3


def clean(text: str, max_chars: int = MAX_CHARS) -> str:
    """The text on one line, without control and format characters, cut at a word's end."""
    composed = unicodedata.normalize("NFC", text)
    visible = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in composed)
    line = " ".join(visible.split())
    if len(line) <= max_chars:
        return line
    return line[: max_chars + 1].rsplit(" ", 1)[0][:max_chars].rstrip()


def words_of_name(name: str) -> str:
    """A name as words: "DoorCreak.wav" is "Door Creak", "Cough-male2" is "Cough male 2"."""
    stem = re.sub(r"\.(wav|mp3|aiff?|flac|ogg|m4a)$", "", name.strip(), flags=re.IGNORECASE)
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[^\W\d_])(?=\d)|[-_]+", " ", stem)
    return " ".join(spaced.split())


def merged_labels(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """The labels in order of onset, each at its first onset only."""
    ordered = sorted(events, key=lambda event: (event["onset_s"], event["offset_s"]))
    return list(dict.fromkeys(clean(event["label"]) for event in ordered))


def clip_text(clip: Mapping[str, Any]) -> str:
    """What a clip says of itself; empty where it says nothing.

    The events of an AudioSet clip as a list, as in Table II; else the description; else the title. A text
    without a letter, such as a recorder's file name, says nothing.

    Args:
        clip: a row of `schemas.FILTERED_CLIPS`.
    """
    if clip["source"] == AUDIOSET:
        labels = merged_labels(clip["events"])
        return str(labels) if labels else ""
    text = clean(clip["description"] or "") or words_of_name(clean(clip["title"] or ""))
    if not any(char.isalpha() for char in text):
        return ""
    return words_of_name(text) if len(text.split()) <= NAME_WORDS else text


def first_sentence(text: str, max_chars: int) -> str:
    """The first sentence without the quotation marks around it, for a model that longer texts confuse."""
    sentence = re.split(r"(?<=[.!?])[\"”')]?\s+|[\"”]\.\s+", text, maxsplit=1)[0]
    return clean(sentence.strip("\"“”'. "), max_chars)
