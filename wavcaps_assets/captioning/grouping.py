"""Which texts are asked about together, so that no answer is paid for again.

An answer is to a list of texts. A list that is wanted as a whole is asked as it was, and what its answer
left open as it was divided then. Of any other list that was asked, whose texts are not all wanted any more,
the answer is taken text by text. Only texts that no answer speaks of are put together anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from wavcaps_assets.captioning.parsing import Parsed, parse
from wavcaps_assets.captioning.prompts import Form, Prompt
from wavcaps_assets.captioning.questions import question_of
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.llm.ledger import ResponseLedger, answer_in

# Answers that are kept parsed: neighbouring texts were mostly asked about together.
KEPT = 256
# What must be the same in two questions about texts, so that an answer to one is one to the other.
ALIKE = ("prompt_version", "model", "parameters", "attempt")


class Earlier:
    """What recorded answers to lists say of single texts.

    Attributes:
        keys: by text, the answers to lists that held it, the newest first.
    """

    def __init__(self, ledger: ResponseLedger, prompt: Prompt) -> None:
        self.keys: dict[str, list[str]] = {}
        self._ledger = ledger
        self._prompt = prompt
        self._parsed = lru_cache(KEPT)(self._parse)

    def said_of(self, text: str) -> tuple[str, Parsed] | None:
        """The newest answer that can be matched to a text, and what it says; None: there is none."""
        for key in self.keys.get(text, ()):
            parsed = self._parsed(key).get(text)
            if parsed is not None and parsed.caption is not None:
                return key, parsed
        return None

    def _parse(self, key: str) -> dict[str, Parsed]:
        record = self._ledger.find(key)
        answer = None if record is None else answer_in(record)
        if record is None or answer is None:
            return {}
        texts = list(record["question"]["inputs"])
        return dict(zip(texts, parse(answer, texts, self._prompt), strict=True))


@dataclass(frozen=True)
class Grouping:
    """What is to be asked, and what need not be.

    Attributes:
        groups: texts that are asked about together, those first that were before.
        answered: texts that an answer to another list speaks of.
        earlier: what these say; to be looked at as well before what an answer leaves open is asked in
            smaller groups.
    """

    groups: list[list[str]]
    answered: list[str]
    earlier: Earlier


def grouped(
    texts: Sequence[str], prompt: Prompt, settings: CaptioningSettings, model: str, ledger: ResponseLedger
) -> Grouping:
    """Groups texts as the ledger answers them, as far as that can be.

    The texts that it does not answer keep their order, so that a run which goes on where another ended
    divides them as that one did.

    Args:
        texts: each once.
    """
    earlier = Earlier(ledger, prompt)
    if settings.form is Form.SINGLE:
        return Grouping([[text] for text in texts], [], earlier)
    left = {text: text for text in texts}
    groups = []
    for key, wanted in _lists_asked(left, prompt.version, settings, model, ledger):
        whole = [text for text in wanted if text is not None and text in left]
        if len(whole) == len(wanted) == len(set(whole)):
            groups.append(whole)
            for text in whole:
                del left[text]
        else:
            for text in filter(None, wanted):
                earlier.keys.setdefault(text, []).append(key)
    answered: list[str] = []
    rest: list[str] = []
    for text in left:
        (rest if earlier.said_of(text) is None else answered).append(text)
    size = settings.first_group
    groups += [rest[start : start + size] for start in range(0, len(rest), size)]
    return Grouping(groups, answered, earlier)


def _lists_asked(
    texts: Mapping[str, str], version: str, settings: CaptioningSettings, model: str, ledger: ResponseLedger
) -> list[tuple[str, list[str | None]]]:
    """The lists that were asked in the same way: the answer's key, and the texts or, for others, None.

    The longest come first, as what was divided comes before its parts; else the newest.
    """
    found = []
    for record in ledger.newest(version):
        asked = record["question"]
        inputs = asked["inputs"]
        wanted = [texts.get(text) for text in inputs]
        if any(wanted):
            like = question_of(version, settings, model, inputs, 0)
            if all(asked.get(name) == getattr(like, name) for name in ALIKE):
                found.append((record["key"], wanted))
    found.sort(key=lambda pair: len(pair[1]), reverse=True)
    return found
