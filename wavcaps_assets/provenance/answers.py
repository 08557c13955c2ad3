"""The answers in the ledger that were given to some clips' texts, and what was made of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from wavcaps_assets.captioning.parsing import Parsed, parse
from wavcaps_assets.captioning.prompts import Form, Prompt, PromptError, find_prompt, form_of, load_prompt
from wavcaps_assets.captioning.second_questions import asked_of, find_second_prompt
from wavcaps_assets.captioning.settings import CAPTIONING_PRESETS, CaptioningSettings
from wavcaps_assets.captioning.texts import clean, clip_text, first_sentence
from wavcaps_assets.llm.ledger import ResponseLedger, answer_in
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.rules.judging import READ_CHARS, Candidate, judge
from wavcaps_assets.rules.repairs import repaired
from wavcaps_assets.rules.settings import RULE_PRESETS


@dataclass(frozen=True)
class Attempt:
    """One answer of a model to a question that held the clip's text.

    Attributes:
        key: of the question in the ledger.
        at: when it was answered, ISO 8601, UTC.
        second: whether stage 3 asked, about a caption that was there already.
        texts: how many texts the question held; its tokens and cost are those of all of them.
        given: the clip's text as it was put.
        messages: the conversation, word for word; None where no preset has that prompt any more.
        said: the caption that the answer gives this text, read as the run read it; None where it gives none
            that can be believed.
        verdict: what the rules make of it.
        rules: which rules: those of the stage that asked where they are known, else the preset `paper`.
    """

    key: str
    at: str
    second: bool
    question: dict[str, Any]
    texts: int
    given: str
    messages: list[Message] | None
    answer: dict[str, Any]
    said: str | None
    verdict: str
    complaint: str
    rules: str


class Rows(NamedTuple):
    """What stages 1 to 3 have of a clip, and how stage 2 was set; None where there is nothing of it."""

    filtered: Mapping[str, Any] | None
    captioned: Mapping[str, Any] | None
    refined: Mapping[str, Any] | None
    settings: CaptioningSettings | None = None

    @property
    def text(self) -> str:
        if self.captioned:
            return str(self.captioned["text"])
        if self.filtered is None:
            return ""
        how = self.settings or CAPTIONING_PRESETS["paper"]
        return clip_text(self.filtered, how.text_from, how.added, how.max_text_chars)

    @property
    def keys(self) -> set[str]:
        """Of the answers that its captions were taken from."""
        ids = (
            self.captioned["answer_id"] if self.captioned else None,
            self.refined["second_answer_id"] if self.refined else None,
        )
        return {key for key in ids if key is not None}


class Found(NamedTuple):
    """A record of the ledger, where a text stands in it, and, in a second question, beside which caption."""

    record: Mapping[str, Any]
    place: int
    caption: str | None


def attempts_of(ledger: ResponseLedger, clips: Mapping[str, Rows]) -> dict[str, list[Attempt]]:
    """The answers to each clip's text, first questions before second ones. The ledger is read once.

    Raises:
        StoreError: it cannot be read.
    """
    by_text: dict[str, list[str]] = {}
    by_key: dict[str, list[str]] = {}
    for clip_id, rows in clips.items():
        for way in _ways_to_put(rows):
            by_text.setdefault(way, []).append(clip_id)
        for key in rows.keys:
            by_key.setdefault(key, []).append(clip_id)
    found: dict[str, list[Found]] = {clip_id: [] for clip_id in clips}
    for record in ledger.records() if by_text else ():
        inputs = list(record["question"]["inputs"])
        seen = set()
        for index, given in enumerate(inputs):
            put = asked_of(given)
            # A crawled text may imitate a second question: the prompt says which it is.
            if put is not None and _first_prompt(*_asked_with(record)) is not None:
                put = None
            text, caption = put or (given, None)
            for clip_id in by_text.get(text, ()):
                found[clip_id].append(Found(record, index, caption))
                seen.add(clip_id)
        for clip_id in by_key.get(record["key"], ()):
            if clip_id not in seen:
                # Put in a way that no preset of today has.
                text = clips[clip_id].text
                place = next((place for place, given in enumerate(inputs) if given in text), 0)
                found[clip_id].append(Found(record, place, None))
    return {clip_id: _of_clip(some, clips[clip_id]) for clip_id, some in found.items()}


def _of_clip(found: Sequence[Found], rows: Rows) -> list[Attempt]:
    """The first questions, and those second ones that are about this clip's own captions."""
    ordered = sorted(found, key=lambda one: str(one.record["at"]))
    attempts = [_attempt(one, rows) for one in ordered if one.caption is None]
    own = [rows.captioned["caption"]] if rows.captioned else []
    captions = {_as_put(caption) for caption in own}
    waiting = [one for one in ordered if one.caption is not None]
    while about := [one for one in waiting if one.caption in captions]:
        waiting = [one for one in waiting if one.caption not in captions]
        seconds = [_attempt(one, rows) for one in about]
        attempts += seconds
        captions = {_as_put(one.said) for one in seconds if one.said is not None}
    return attempts


def _as_put(caption: str) -> str:
    """A caption as a second question holds it."""
    return clean(repaired(caption[: READ_CHARS + 1])[0])


def _ways_to_put(rows: Rows) -> set[str]:
    """How the presets, and stage 2 as it was set, put a clip's text to a model."""
    ways = set()
    for _, settings in _ways_of(rows):
        first = first_sentence(rows.text, settings.max_text_chars)
        ways |= {clean(rows.text, settings.max_text_chars), clean(first, settings.max_text_chars)}
    return ways - {""}


def _ways_of(rows: Rows) -> Iterator[tuple[str, CaptioningSettings]]:
    """How stage 2 may have asked: as it was set, if that is known, and as the presets do."""
    if rows.settings:
        yield "as it was set", rows.settings
    for name, settings in CAPTIONING_PRESETS.items():
        yield f"preset {name}", settings


def _asked_with(record: Mapping[str, Any]) -> tuple[str, str]:
    return str(record["question"]["prompt_version"]), str(record.get("source") or "")


@lru_cache(maxsize=256)
def _first_prompt(version: str, source: str) -> Prompt | None:
    return find_prompt(version, source)


def _attempt(found: Found, rows: Rows) -> Attempt:
    record, index = found.record, found.place
    question, answer = record["question"], answer_in(record)
    version, source = _asked_with(record)
    prompt = _first_prompt(version, source) or find_second_prompt(version)
    inputs = list(question["inputs"])
    form = prompt.form if prompt else form_of(question["parameters"])
    nothing = [Parsed(None, "the ledger holds no answer that can be read")] * len(inputs)
    # As the run did: what it did not believe is told with its reason.
    parsed = (parse(answer, inputs, prompt or Prompt(form, "", ())) if answer else nothing)[index]
    verdict, complaint, rules = _judged(found, parsed, rows, prompt)
    return Attempt(
        key=record["key"],
        at=record["at"],
        second=found.caption is not None,
        question=dict(question),
        texts=len(inputs),
        given=inputs[index],
        messages=prompt.messages(inputs) if prompt else None,
        answer=asdict(answer) if answer else {},
        said=parsed.caption,
        verdict=verdict,
        complaint=complaint,
        rules=rules,
    )


def _judged(found: Found, parsed: Parsed, rows: Rows, prompt: Prompt | None) -> tuple[str, str, str]:
    """The verdict on an answer, the complaints, and the rules that say so."""
    if parsed.caption is None:
        return "unreadable", parsed.problem or "", "(of the answer's form)"
    second = found.caption is not None
    if second and rows.refined and rows.refined["second_answer_id"] == found.record["key"]:
        return "accept", "", "(as stage 3 judged it)"
    version, source = _asked_with(found.record)
    told, rules = "(of the preset paper)", RULE_PRESETS["paper"]
    for name, settings in () if second else _ways_of(rows):
        if version in _versions(settings.prompt, source):
            told, rules = f"(of stage 2, {name})", settings.rules
            break
    (judged,) = judge([Candidate(parsed.caption, rows.text, prompt.shown if prompt else ())], rules)
    return judged.verdict.value, judged.complaint, told


@lru_cache(maxsize=256)
def _versions(preset: str, source: str) -> frozenset[str]:
    """Of a preset's prompt for a source, in every form; none where the preset is gone."""
    try:
        return frozenset(load_prompt(preset, source, form).version for form in Form)
    except PromptError:
        return frozenset()
