"""Which texts go into which request, so that no answer is paid for again.

A request asks about a list of texts. A list whose texts are all needed is sent as it was sent before, and
divided as it was divided then. If only some texts of an earlier list are needed, its answer is used text by
text. Only texts without any answer are put into new lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from wavcaps_assets.captioning import echoes
from wavcaps_assets.captioning.parsing import Parsed, parse
from wavcaps_assets.captioning.prompts import Form, Prompt, answer_format
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.llm.parameters import NO_CHANGES, ParameterChanges
from wavcaps_assets.llm.records import Request, answer_in
from wavcaps_assets.llm.session import Session

# Parsed answers that are kept: neighbouring texts were mostly in the same request.
KEPT = 256
# The attempt, counted from 0, in which a text is first asked about alone after its list.
FIRST_ALONE = 1
# Two requests about texts are interchangeable if these are equal.
COMPARED = ("prompt_version", "model", "parameters", "attempt")


def request_of(
    prompt: Prompt,
    settings: CaptioningSettings,
    model: str,
    texts: Sequence[str],
    attempt: int = 0,
    changes: ParameterChanges = NO_CHANGES,
) -> Request:
    """The request about some texts. Nothing else decides its key."""
    temperature = settings.retry_temperature if attempt else settings.temperature
    longest = (settings.max_tokens + (echoes.TOKENS if prompt.echo else 0)) * len(texts)
    answer = settings.form, prompt.echo
    parameters = _parameters(temperature, longest, settings.seed + attempt, answer, changes)
    return Request(prompt.version, model, parameters, list(texts), attempt, prompt.messages)


@lru_cache(maxsize=1024, typed=True)
def _parameters(
    temperature: float, max_tokens: int, seed: int, answer: tuple[Form, bool], changes: ParameterChanges
) -> Mapping[str, Any]:
    """The same object for the same parameters: see `records.Request.key`."""
    parameters = {
        "temperature": temperature,
        "max_tokens": max_tokens,
        "seed": seed,
        **answer_format(*answer),
    }
    return changes.apply(parameters)


def first_requests(
    groups: Iterable[Sequence[str]],
    prompt: Prompt,
    settings: CaptioningSettings,
    model: str,
    changes: ParameterChanges = NO_CHANGES,
) -> Iterator[Request]:
    """The first request about each group."""
    return (request_of(prompt, settings, model, group, changes=changes) for group in groups)


class Earlier:
    """What the answers to earlier lists say about single texts.

    Attributes:
        keys: for each text, the keys of the lists that contain it, the newest first.
    """

    def __init__(self, session: Session, prompt: Prompt) -> None:
        self.keys: dict[str, list[str]] = {}
        self._session = session
        self._prompt = prompt
        self._parsed = lru_cache(KEPT)(self._parse)

    def answer_for(self, text: str) -> tuple[str, Parsed] | None:
        """The key and content of the newest answer that matches a text; None if there is none."""
        for key in self.keys.get(text, ()):
            parsed = self._parsed(key).get(text)
            if parsed is not None and parsed.caption is not None:
                return key, parsed
        return None

    def _parse(self, key: str) -> dict[str, Parsed]:
        record = self._session.ledger.find(key)
        answer = None if record is None else answer_in(record)
        if record is None or answer is None:
            return {}
        texts = list(record["question"]["inputs"])
        return dict(zip(texts, parse(answer, texts, self._prompt), strict=True))


@dataclass(frozen=True)
class Grouping:
    """Texts in groups, one request each, and the texts that need no request.

    Attributes:
        groups: those that were sent before come first.
        answered: texts that the answer to another list covers.
        earlier: those answers. Also used before an unmatched text is sent in a smaller group.
    """

    groups: list[list[str]]
    answered: list[str]
    earlier: Earlier


def grouped(texts: Sequence[str], prompt: Prompt, settings: CaptioningSettings, session: Session) -> Grouping:
    """Groups texts so that the ledger answers as many as possible.

    Texts without an answer keep their order: a run that continues another one makes the same groups.

    Args:
        texts: without duplicates.
    """
    earlier = Earlier(session, prompt)
    if settings.form is Form.SINGLE:
        return Grouping([[text] for text in texts], [], earlier)
    left = {text: text for text in texts}
    groups = []
    for key, wanted, attempt in _earlier_lists(left, prompt, settings, session):
        whole = [text for text in wanted if text is not None and text in left]
        if not attempt and len(whole) == len(wanted) == len(set(whole)):
            groups.append(whole)
            for text in whole:
                del left[text]
        else:
            for text in filter(None, wanted):
                earlier.keys.setdefault(text, []).append(key)
    answered: list[str] = []
    rest: list[str] = []
    for text in left:
        (rest if earlier.answer_for(text) is None else answered).append(text)
    size = settings.first_group
    groups += [rest[start : start + size] for start in range(0, len(rest), size)]
    return Grouping(groups, answered, earlier)


def _earlier_lists(
    texts: Mapping[str, str], prompt: Prompt, settings: CaptioningSettings, session: Session
) -> list[tuple[str, list[str | None], int]]:
    """The lists that were sent with the same settings: key, texts (None if not needed) and attempt.

    A single text that was asked about after its list is one of them. The longest come first, because a list
    comes before its parts; of equal ones, the newest.
    """
    changes = session.settings.parameter_changes
    found = []
    for record in session.ledger.newest(prompt.version):
        stored = record["question"]
        inputs = stored["inputs"]
        wanted = [texts.get(text) for text in inputs]
        if any(wanted):
            alone = len(inputs) == 1 and stored.get("attempt") == FIRST_ALONE
            attempt = FIRST_ALONE if alone else 0
            same = request_of(prompt, settings, session.model_name, inputs, attempt, changes)
            if all(stored.get(name) == getattr(same, name) for name in COMPARED):
                found.append((record["key"], wanted, attempt))
    found.sort(key=lambda one: len(one[1]), reverse=True)
    return found
