"""Asks a model about many texts, in groups and in several attempts, until each text is settled."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from wavcaps_assets.captioning.parsing import Parsed, parse
from wavcaps_assets.captioning.prompts import Prompt
from wavcaps_assets.captioning.requests import Grouping, request_of
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.llm.chat import AnswerError
from wavcaps_assets.llm.records import Answer, Request
from wavcaps_assets.llm.session import Session
from wavcaps_assets.rules.judging import Candidate, Judged, judge
from wavcaps_assets.rules.rule import Verdict

SHOWN_CHARS = 80


@dataclass
class TextState:
    """A text, what has been answered about it, and what the rules say about the last answer.

    Attributes:
        text: as the model is given it.
        answer_id: the key of the last answer.
        no_answer: why there is no answer; empty if there is one.
    """

    text: str
    attempts: int = 0
    parsed: Parsed | None = None
    judged: Judged | None = None
    answer_id: str | None = None
    no_answer: str = ""

    @property
    def accepted(self) -> bool:
        return self.judged is not None and self.judged.accepted

    @property
    def settled(self) -> bool:
        return self.judged is not None and self.judged.verdict is not Verdict.ASK_AGAIN

    def reason(self) -> tuple[str, str]:
        """The reason code for a missing caption, and a detail for people."""
        if self.no_answer:
            return "no_answer", self.no_answer
        if self.judged is None:
            return "unusable_answer", (self.parsed.problem if self.parsed else None) or "nothing was asked"
        if any(finding.rule == "failure" for finding in self.judged.findings):
            return "llm_failure", f"the model answers {self.judged.caption!r} to {self.text[:SHOWN_CHARS]!r}"
        last = self.judged.caption[:SHOWN_CHARS]
        return "unusable_answer", f"{self.judged.complaint}; last answer {last!r}"


class Rounds:
    """One round for each attempt: texts that a round leaves unsettled are asked about again, one by one.

    Within a round, texts that the answer to a group does not match are asked about in groups of half the
    size, down to single texts. The division of a group depends on its own answer only, so that a run that
    continues another one sends the same requests.

    Attributes:
        used: for the key of each answer, the number of texts that it was used for, including answers to
            earlier runs.
    """

    def __init__(self, prompt: Prompt, settings: CaptioningSettings, session: Session) -> None:
        self.used = Counter[str]()
        self._prompt = prompt
        self._settings = settings
        self._session = session
        self._tally = session.tally(0)
        self._grouping: Grouping | None = None
        self._attempt = 0
        # The group of each request in flight, by the request's key.
        self._groups: dict[str, list[TextState]] = {}

    def settle(self, states: Sequence[TextState], grouping: Grouping | None = None) -> None:
        """Asks until every text has a caption or `max_attempts` are used.

        Args:
            grouping: of all texts; None: groups in their order.

        Raises:
            As `Session.process`.
        """
        self._grouping = grouping
        self._tally = self._session.tally(len(states))
        for attempt in range(self._settings.max_attempts):
            unsettled = [state for state in states if not state.settled]
            if not unsettled:
                return
            self._attempt = attempt
            self._tally.done = len(states) - len(unsettled)
            groups = _divided(unsettled, 1) if attempt else self._first_groups(unsettled)
            self._session.process(self._unanswered(groups), self._handle)
            self._judge(unsettled)

    def _first_groups(self, states: Sequence[TextState]) -> list[list[TextState]]:
        if self._grouping is None:
            return _divided(states, self._settings.first_group)
        by_text = {state.text: state for state in states}
        groups = [*self._grouping.groups, *([text] for text in self._grouping.answered)]
        return [[by_text[text] for text in group] for group in groups]

    def _unanswered(self, groups: Sequence[list[TextState]]) -> list[Request]:
        """The requests about the groups that no answer covers. Answers in the ledger are used here."""
        waiting = deque(groups)
        unanswered = []
        while waiting:
            group = waiting.popleft()
            texts = [state.text for state in group]
            request = request_of(self._prompt, self._settings, self._session.model_name, texts, self._attempt)
            answer = self._session.find(request)
            if answer is not None:
                waiting.extendleft(reversed(self._use(group, request, answer)))
                continue
            left = group if self._attempt else [state for state in group if not self._use_earlier(state)]
            if len(left) == len(group):
                self._groups[request.key] = group
                unanswered.append(request)
            elif left:
                waiting.appendleft(left)
        return unanswered

    def _use_earlier(self, state: TextState) -> bool:
        """Uses the answer to another list for a text, if there is one."""
        found = None if self._grouping is None else self._grouping.earlier.answer_for(state.text)
        if found is None:
            return False
        key, parsed = found
        state.attempts += 1
        state.parsed, state.no_answer, state.answer_id = parsed, "", key
        self.used[key] += 1
        self._tally.add(1)
        return True

    def _handle(self, request: Request, outcome: Answer | AnswerError) -> list[Request]:
        """Takes an answer, or the error in its place. Returns the requests about what is unmatched."""
        group = self._groups.pop(request.key)
        if isinstance(outcome, Answer):
            return self._unanswered(self._use(group, request, outcome))
        for state in group:
            state.attempts += 1
            state.parsed, state.no_answer = None, str(outcome)
        return self._unanswered(self._smaller(group, group))

    def _use(self, group: list[TextState], request: Request, answer: Answer) -> list[list[TextState]]:
        """Uses what an answer certainly says. Returns the unmatched texts in smaller groups."""
        self.used[request.key] += len(group)
        unmatched = []
        for state, parsed in zip(group, parse(answer, request.inputs, self._prompt), strict=True):
            state.attempts += 1
            state.parsed, state.no_answer, state.answer_id = parsed, "", request.key
            if parsed.caption is None:
                unmatched.append(state)
        return self._smaller(group, unmatched)

    def _smaller(self, group: list[TextState], unmatched: list[TextState]) -> list[list[TextState]]:
        again = unmatched if len(group) > 1 else []
        self._tally.add(len(group) - len(again))
        return _divided(again, max(len(group) // 2, 1))

    def _judge(self, states: Sequence[TextState]) -> None:
        answered = [
            (state, state.parsed.caption)
            for state in states
            if state.parsed and state.parsed.caption is not None
        ]
        for state in states:
            state.judged = None
        candidates = [Candidate(caption, state.text, self._prompt.shown) for state, caption in answered]
        for (state, _), judged in zip(answered, judge(candidates, self._settings.rules), strict=True):
            state.judged = judged


def _divided(states: Sequence[TextState], size: int) -> list[list[TextState]]:
    return [list(states[start : start + size]) for start in range(0, len(states), size)]
