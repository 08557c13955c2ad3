"""Stops a run whose first answers are all useless, before it pays for the rest."""

from __future__ import annotations

from collections.abc import Sequence

from wavcaps_assets.captioning.parsing import Parsed

# Lists without anything that can be read, before and between which no answer was usable.
USELESS_LISTS = 2
# Lists and single texts without a usable caption, for whatever reason.
UNUSABLE_ANSWERS = 20
SHOWN_CHARS = 300


class NothingUsable(RuntimeError):
    """No answer so far can be used. The message shows one of them, and says what to change."""


class CircuitBreaker:
    """Counts answers until one of them is usable; then it never breaks."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._useless_lists = 0
        self._unusable = 0
        self.works = False

    def add(self, parsed: Sequence[Parsed], whole: bool) -> None:
        """Counts an answer, new or from the ledger.

        Args:
            parsed: what it says about each of its texts.
            whole: whether it is the first answer about a list, or about a single text.
        """
        if any(one.caption is not None for one in parsed):
            self.works = True
        elif not self.works:
            self._unusable += whole
            self._useless_lists += whole and len(parsed) > 1 and all(one.useless for one in parsed)

    def check(self, parsed: Sequence[Parsed], text: str) -> None:
        """Raises if nothing usable is to be expected.

        Args:
            parsed, text: the last answer, for the message.

        Raises:
            NothingUsable: the first lists are useless, or many answers in a row are unusable.
        """
        if self.works or (self._useless_lists < USELESS_LISTS and self._unusable < UNUSABLE_ANSWERS):
            return
        answers = max(self._useless_lists, self._unusable)
        shown = text[:SHOWN_CHARS] + ("…" if len(text) > SHOWN_CHARS else "")
        raise NothingUsable(
            f"none of the first {answers} answers of {self._model} can be used, and nothing more is sent. "
            f"The last one: {parsed[0].problem}. It reads {shown!r}. The answers are kept. Choose another "
            "prompt or model, smaller lists (`batch_size`) or one text in a request (`form: single`)"
        )
