"""The answers to some clips' texts in the response ledger, and what the rules say about each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from wavcaps_assets.captioning.parsing import Parsed, parse
from wavcaps_assets.captioning.prompts import Form, Prompt, PromptError, find_prompt, form_of, load_prompt
from wavcaps_assets.captioning.second_questions import find_second_prompt, parse_line
from wavcaps_assets.captioning.settings import CAPTIONING_PRESETS, CaptioningSettings
from wavcaps_assets.captioning.texts import clean, clip_text, first_sentence
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.llm.records import answer_in
from wavcaps_assets.rules.judging import READ_CHARS, Candidate, judge
from wavcaps_assets.rules.repairs import repaired
from wavcaps_assets.rules.settings import RULE_PRESETS


@dataclass(frozen=True)
class Attempt:
    """One answer of a model to a request with the clip's text.

    Attributes:
        key: of the request in the ledger.
        at: when it was answered, ISO 8601, UTC.
        second: whether stage 3 asked, about an earlier caption.
        question: the request, as it is stored.
        texts: the number of texts in the request; tokens and cost are for all of them.
        given: the clip's text as the model was given it.
        messages: the conversation, word for word; None: no preset has the prompt any more.
        caption: the caption in the answer, parsed as the run did; None: there is no certain one.
        verdict: of the rules.
        complaint: what the rules, or the parser, object to.
        rules: which rules: of the stage that asked, if known, else the preset `paper`.
    """

    key: str
    at: str
    second: bool
    question: dict[str, Any]
    texts: int
    given: str
    messages: list[Message] | None
    answer: dict[str, Any]
    caption: str | None
    verdict: str
    complaint: str
    rules: str


class Rows(NamedTuple):
    """A clip's rows of stages 1 to 3, and the settings of stage 2; None: there are none."""

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
        settings = self.settings or CAPTIONING_PRESETS["paper"]
        return clip_text(self.filtered, settings.text_from, settings.added, settings.max_text_chars)

    @property
    def keys(self) -> set[str]:
        """The keys of the answers that its captions come from."""
        ids = (
            self.captioned["answer_id"] if self.captioned else None,
            self.refined["second_answer_id"] if self.refined else None,
        )
        return {key for key in ids if key is not None}


class Found(NamedTuple):
    """A record of the ledger, the index of a text in it, and, for a second question, the caption."""

    record: Mapping[str, Any]
    position: int
    caption: str | None


def attempts_of(ledger: ResponseLedger, clips: Mapping[str, Rows]) -> dict[str, list[Attempt]]:
    """The answers to each clip's text, first questions before second ones. Reads the ledger once.

    Raises:
        StoreError: the ledger cannot be read.
    """
    by_text: dict[str, list[str]] = {}
    by_key: dict[str, list[str]] = {}
    for clip_id, rows in clips.items():
        for given in _given_texts(rows):
            by_text.setdefault(given, []).append(clip_id)
        for key in rows.keys:
            by_key.setdefault(key, []).append(clip_id)
    found: dict[str, list[Found]] = {clip_id: [] for clip_id in clips}
    for record in ledger.records() if by_text else ():
        inputs = list(record["question"]["inputs"])
        matched = set()
        for index, given in enumerate(inputs):
            second = parse_line(given)
            # A crawled text may imitate a second question: the prompt decides.
            if second is not None and _first_prompt(*_version_and_source(record)) is not None:
                second = None
            text, caption = second or (given, None)
            for clip_id in by_text.get(text, ()):
                found[clip_id].append(Found(record, index, caption))
                matched.add(clip_id)
        for clip_id in by_key.get(record["key"], ()):
            if clip_id not in matched:
                # No current preset gives the text to a model like this.
                text = clips[clip_id].text
                index = next((index for index, given in enumerate(inputs) if given in text), 0)
                found[clip_id].append(Found(record, index, None))
    return {clip_id: _of_clip(records, clips[clip_id]) for clip_id, records in found.items()}


def _of_clip(found: Sequence[Found], rows: Rows) -> list[Attempt]:
    """The answers to first questions, and to second questions about this clip's own captions."""
    ordered = sorted(found, key=lambda one: str(one.record["at"]))
    attempts = [_attempt(one, rows) for one in ordered if one.caption is None]
    own = [rows.captioned["caption"]] if rows.captioned else []
    captions = {_as_given(caption) for caption in own}
    waiting = [one for one in ordered if one.caption is not None]
    while about := [one for one in waiting if one.caption in captions]:
        waiting = [one for one in waiting if one.caption not in captions]
        seconds = [_attempt(one, rows) for one in about]
        attempts += seconds
        captions = {_as_given(one.caption) for one in seconds if one.caption is not None}
    return attempts


def _as_given(caption: str) -> str:
    """A caption as a second question contains it."""
    return clean(repaired(caption[: READ_CHARS + 1])[0])


def _given_texts(rows: Rows) -> set[str]:
    """A clip's text in each form that a model may have been given."""
    texts = set()
    for _, settings in _possible_settings(rows):
        first = first_sentence(rows.text, settings.max_text_chars)
        texts |= {clean(rows.text, settings.max_text_chars), clean(first, settings.max_text_chars)}
    return texts - {""}


def _possible_settings(rows: Rows) -> Iterator[tuple[str, CaptioningSettings]]:
    """The settings that stage 2 may have used: its own, if known, and the presets."""
    if rows.settings:
        yield "with its settings", rows.settings
    for name, settings in CAPTIONING_PRESETS.items():
        yield f"preset {name}", settings


def _version_and_source(record: Mapping[str, Any]) -> tuple[str, str]:
    return str(record["question"]["prompt_version"]), str(record.get("source") or "")


@lru_cache(maxsize=256)
def _first_prompt(version: str, source: str) -> Prompt | None:
    return find_prompt(version, source)


def _attempt(found: Found, rows: Rows) -> Attempt:
    record, index = found.record, found.position
    question, answer = record["question"], answer_in(record)
    version, source = _version_and_source(record)
    prompt = _first_prompt(version, source) or find_second_prompt(version)
    inputs = list(question["inputs"])
    form = prompt.form if prompt else form_of(question["parameters"])
    nothing = [Parsed(None, "the ledger contains no readable answer")] * len(inputs)
    # As the run did: an answer that is not certain has a reason instead.
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
        caption=parsed.caption,
        verdict=verdict,
        complaint=complaint,
        rules=rules,
    )


def _judged(found: Found, parsed: Parsed, rows: Rows, prompt: Prompt | None) -> tuple[str, str, str]:
    """The verdict on an answer, the complaints, and which rules judged."""
    if parsed.caption is None:
        return "unreadable", parsed.problem or "", "(of the answer's form)"
    second = found.caption is not None
    if second and rows.refined and rows.refined["second_answer_id"] == found.record["key"]:
        return "accept", "", "(as stage 3 judged it)"
    version, source = _version_and_source(found.record)
    name_of, rules = "(of the preset paper)", RULE_PRESETS["paper"]
    for name, settings in () if second else _possible_settings(rows):
        if version in _versions(settings.prompt, source):
            name_of, rules = f"(of stage 2, {name})", settings.rules
            break
    (judged,) = judge([Candidate(parsed.caption, rows.text, prompt.shown if prompt else ())], rules)
    return judged.verdict.value, judged.complaint, name_of


@lru_cache(maxsize=256)
def _versions(preset: str, source: str) -> frozenset[str]:
    """The versions of a preset's prompt for a source, in every form; empty: the preset does not exist."""
    try:
        prompts = (load_prompt(preset, source, form, echo) for form in Form for echo in (False, True))
        return frozenset(prompt.version for prompt in prompts)
    except PromptError:
        return frozenset()
