"""A clip's raw text, as the model is given it. Crawled text is data: cleaned, bounded, on one line."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from wavcaps_assets.captioning.bouts import bouts_of, spans_of, union


class ClipField(StrEnum):
    """A field of a clip with text: its column in `tables.FILTERED_CLIPS`, or the events with their times."""

    EVENTS = "events"
    TIMED_EVENTS = "timed_events"
    DESCRIPTION = "description"
    TITLE = "title"
    TAGS = "tags"

    @property
    def column(self) -> str:
        return "events" if self is ClipField.TIMED_EVENTS else self.value


AUDIOSET = "audioset_sl"
# The paper used the raw descriptions and the lists of events (Tables I and II), and no tags. It does not
# say what it did without a description: a title is better than nothing.
TEXT_FROM = (ClipField.EVENTS, ClipField.DESCRIPTION, ClipField.TITLE)
# Far more than a caption can use; 95% of FreeSound's descriptions are shorter.
MAX_CHARS = 1000
# A name such as "DoorCreak" has at most this many words; in a longer text such a word is a user's name.
NAME_WORDS = 3
# The start of the special tokens of chat templates: "<|im_end|>", "</s>", "[INST]".
TOKEN = re.compile(r"<(?=[^\s<>]{1,60}>)|\[(?=/?[a-z]?[A-Z][A-Z_]{1,40}\])")


def clean(text: str, max_chars: int = MAX_CHARS) -> str:
    """As `one_line`, for a model: the special tokens of chat templates are broken up."""
    line = one_line(text, max_chars)
    if "<" not in line and "[" not in line:
        return line
    return one_line(TOKEN.sub(r"\g<0> ", line), max_chars)


def one_line(text: str, max_chars: int = MAX_CHARS) -> str:
    """The text on one line, without control and format characters, cut at the end of a word."""
    if text.isascii() and text.isprintable():
        # Most texts are on one line already.
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
    """The labels in order of their first onset, without duplicates."""
    ordered = sorted(events, key=lambda event: (event["onset_s"], event["offset_s"]))
    return list(dict.fromkeys(clean(event["label"]) for event in ordered))


def timed_labels(events: Iterable[Mapping[str, Any]]) -> str:
    """The sounds with the seconds in which they are heard, as in "['Bark' 0.2 to 1.4, 'Car' 3.0 to 9.5]".

    Events of one label in a row are one sound.
    """
    listed = list(events)
    spans = spans_of(listed, None, clean)
    if not spans:
        return str(labels) if (labels := merged_labels(listed)) else ""
    bouts = bouts_of({label: union(found) for label, found in spans.items()})
    items = (f"{bout.name!r} {bout.start:.1f} to {bout.end:.1f}" for bout in bouts)
    return first_of_list(f"[{', '.join(items)}]", MAX_CHARS)


def first_of_list(text: str, max_chars: int) -> str:
    """A text of `timed_labels` with as many of its sounds as fit, at least one."""
    ends = [match.end() for match in re.finditer(r"\d(?=, ['\"]|\]$)", text)]
    # A bracket follows.
    fitting = [end for end in ends if end < max_chars] or ends[:1]
    return f"{text[: fitting[-1]]}]" if fitting else clean(text, max_chars)


def clip_text(
    clip: Mapping[str, Any],
    text_from: Sequence[ClipField] = TEXT_FROM,
    added: Sequence[ClipField] = (),
    max_chars: int = MAX_CHARS,
) -> str:
    """The text of a clip; empty if it has none.

    Events are a list of their labels, as in Table II. A text without a letter, such as a recorder's file
    name, counts as empty.

    Args:
        clip: a row of `tables.FILTERED_CLIPS`.
        text_from: the first of these that is not empty is the text.
        added: appended in brackets, as in "Dog in a yard (tags: dog, bark)".
        max_chars: the text is cut to make room for what is added.
    """
    used, text = next(((field, text) for field in text_from if (text := _text(clip, field))), (None, ""))
    others = ((field, _text(clip, field)) for field in added if text and field is not used)
    more = "; ".join(f"{field.value}: {other}" for field, other in others if other)
    if not more:
        return text
    more = f" ({clean(more, max_chars // 2)})"
    return clean(text, max_chars - len(more)) + more


def _text(clip: Mapping[str, Any], field: ClipField) -> str:
    if field is ClipField.TIMED_EVENTS:
        return timed_labels(clip["events"])
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
    """The first sentence without quotation marks around it, for models that longer texts confuse."""
    sentence = re.split(r"(?<=[.!?])[\"”')]?\s+|[\"”]\.\s+", text, maxsplit=1)[0]
    return clean(sentence.strip("\"“”'. "), max_chars)
