"""The raw text of a clip, as the model is given it. Crawled text is data: cleaned, bounded, one line."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any


class ClipField(StrEnum):
    """What a clip may say of itself, by its column in `tables.FILTERED_CLIPS`."""

    EVENTS = "events"
    DESCRIPTION = "description"
    TITLE = "title"
    TAGS = "tags"


AUDIOSET = "audioset_sl"
# The paper put the raw descriptions and the lists of events (Tables I and II), and no tags. It does not
# say what it did where there is no description: a title says more than nothing.
TEXT_FROM = (ClipField.EVENTS, ClipField.DESCRIPTION, ClipField.TITLE)
# Far more than a caption can use; 95% of FreeSound's descriptions are shorter.
MAX_CHARS = 1000
# A name such as "DoorCreak" is at most this many words; in a longer text a word like that is a user's name.
NAME_WORDS = 3
# How the tokens begin that models' templates divide a conversation with: "<|im_end|>", "</s>", "[INST]".
TOKEN = re.compile(r"<(?=[^\s<>]{1,60}>)|\[(?=/?[a-z]?[A-Z][A-Z_]{1,40}\])")


def clean(text: str, max_chars: int = MAX_CHARS) -> str:
    """As `one_line`, for a model: its server finds none of the tokens in it that divide a conversation."""
    line = one_line(text, max_chars)
    if "<" not in line and "[" not in line:
        return line
    return one_line(TOKEN.sub(r"\g<0> ", line), max_chars)


def one_line(text: str, max_chars: int = MAX_CHARS) -> str:
    """The text on one line, without control and format characters, cut at a word's end."""
    if text.isascii() and text.isprintable():
        # Most texts are one line already.
        line = " ".join(text.split()) if "  " in text else text.strip(" ")
    else:
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


def clip_text(
    clip: Mapping[str, Any],
    text_from: Sequence[ClipField] = TEXT_FROM,
    added: Sequence[ClipField] = (),
    max_chars: int = MAX_CHARS,
) -> str:
    """What a clip says of itself; empty where it says nothing.

    Events are a list of their labels, as in Table II. A text without a letter, such as a recorder's file
    name, says nothing.

    Args:
        clip: a row of `tables.FILTERED_CLIPS`.
        text_from: the first of these that says something is the text.
        added: what is put behind it in brackets, as in "Dog in a yard (tags: dog, bark)".
        max_chars: where something is added, the text is cut to make room for it.
    """
    used, text = next(((field, said) for field in text_from if (said := _said(clip, field))), (None, ""))
    others = ((field, _said(clip, field)) for field in added if text and field is not used)
    more = "; ".join(f"{field.value}: {said}" for field, said in others if said)
    if not more:
        return text
    more = f" ({clean(more, max_chars // 2)})"
    return clean(text, max_chars - len(more)) + more


def _said(clip: Mapping[str, Any], field: ClipField) -> str:
    if field is ClipField.EVENTS:
        labels = merged_labels(clip["events"])
        return str(labels) if labels else ""
    if field is ClipField.TAGS:
        text = ", ".join(dict.fromkeys(tag for raw in clip["tags"] if (tag := clean(raw))))
    else:
        text = clean(clip[field.value] or "")
        if field is ClipField.TITLE or text.count(" ") < NAME_WORDS:
            text = words_of_name(text)
    return text if text[:1].isalpha() or any(map(str.isalpha, text)) else ""


def first_sentence(text: str, max_chars: int) -> str:
    """The first sentence without the quotation marks around it, for a model that longer texts confuse."""
    sentence = re.split(r"(?<=[.!?])[\"”')]?\s+|[\"”]\.\s+", text, maxsplit=1)[0]
    return clean(sentence.strip("\"“”'. "), max_chars)
