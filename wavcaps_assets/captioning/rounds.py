"""Asks a model about many texts, in groups and in several attempts, until each text is settled."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from wavcaps_assets.captioning.breaker import USELESS_LISTS, CircuitBreaker
from wavcaps_assets.captioning.parsing import Parsed, parse
from wavcaps_assets.captioning.prompts import Form, Prompt
from wavcaps_assets.captioning.requests import FIRST_ALONE, Grouping, request_of
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.llm.chat import AnswerError
from wavcaps_assets.llm.records import Answer, Request
from wavcaps_assets.llm.replies import FILTERED
from wavcaps_assets.llm.session import Session
from wavcaps_assets.rules.judging import Candidate, Judged, judge
from wavcaps_assets.rules.rule import Verdict

SHOWN_CHARS = 80
# A list of this many texts has no halves that are lists.
NO_HALVES = 3


@dataclass(slots=True)
class TextState:
    """A text, what has been answered about it, and what the rules say about the last answer.

    Attributes:
        text: as the model is given it.
        answer_id: the key of the last answer.
        no_answer: why there is no answer; empty if there is one.
        alone: whether it was taken out of its list and asked about alone.
    """

    text: str
    attempts: int = 0
    parsed: Parsed | None = None
    judged: Judged | None = None
    answer_id: str | None = None
    no_answer: str = ""
    alone: bool = False

    @property
    def accepted(self) -> bool:
        return self.judged is not None and self.judged.accepted

    @property
    def settled(self) -> bool:
        return self.judged is not None and self.judged.verdict is not Verdict.ASK_AGAIN

    def take(self, parsed: Parsed | None, answer_id: str | None, no_answer: str = "") -> None:
        """Notes an answer, or why there is none."""
        self.attempts += 1
        self.parsed, self.judged, self.no_answer = parsed, None, no_answer
        self.answer_id = answer_id or self.answer_id

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


class Part(IntEnum):
    """What part of a list a request asks about."""

    WHOLE = 0
    HALF = 1
    ALONE = 2


@dataclass(frozen=True)
class Group:
    states: list[TextState]
    part: Part = Part.WHOLE

    def smaller(self, states: Sequence[TextState]) -> list[Group]:
        """The groups to ask next about some of its texts: the halves of a list, then single texts."""
        if len(self.states) == 1 or not states:
            return []
        half = -(-len(self.states) // 2)
        if self.part is Part.WHOLE and len(self.states) > NO_HALVES:
            halves = [list(states[at : at + half]) for at in range(0, len(states), half)]
            return [Group(part, Part.HALF if len(part) > 1 else Part.ALONE) for part in halves]
        return [Group([state], Part.ALONE) for state in states]


class Rounds:
    """Asks about texts in lists; what an answer does not match, in halves of its list, and then once alone.

    The division of a group depends on its own answer only, so that a run that continues another one sends
    the same requests. A text whose caption the rules do not accept is asked about alone in the next round.
    A text of a list is asked about alone once, at the temperature of later attempts; in the form for single
    texts, up to `max_attempts` times. Other attempts, which an earlier version of this project made, are
    used if they are in the ledger.

    Attributes:
        used: for the key of each answer, the number of texts that it was used for, including answers to
            earlier runs.
    """

    def __init__(self, prompt: Prompt, settings: CaptioningSettings, session: Session) -> None:
        self.used = Counter[str]()
        self._prompt = prompt
        self._settings = settings
        self._session = session
        self._changes = session.settings.parameter_changes
        self._breaker = CircuitBreaker(session.model_name)
        self._tally = session.tally(0)
        self._grouping: Grouping | None = None
        self._states: Sequence[TextState] = ()
        self._planned: list[Request] = []
        self._attempt = 0
        # The group of each request in flight, by the request's key.
        self._groups: dict[str, Group] = {}

    def settle(self, states: Sequence[TextState], grouping: Grouping | None = None) -> None:
        """`plan` and `run`, without an estimate in between."""
        self.plan(states, grouping)
        self.run()

    def plan(self, states: Sequence[TextState], grouping: Grouping | None = None) -> list[Request]:
        """Uses what the ledger has. Call `run` next.

        Args:
            grouping: of all texts; None: groups in their order.

        Returns:
            The requests that are sent first.
        """
        self._states = states
        self._grouping = grouping
        self._tally = self._session.tally(len(states))
        self._planned = self._unanswered(self._first_groups())
        self._judge()
        return self._planned

    def follow_ups(self) -> Iterator[Request]:
        """All requests that the answers to the planned ones may lead to."""
        for request in self._planned:
            yield from self._following(self._groups[request.key])
        planned = {id(state) for group in self._groups.values() for state in group.states}
        for state in self._states:
            if not state.settled and id(state) not in planned:
                yield from self._later(state)

    def run(self) -> None:
        """Sends the planned requests, and asks until every text has a caption or no attempt is left.

        Raises:
            NothingUsable: the first answers cannot be used.
            As `Session.process`.
        """
        self._send(self._planned)
        self._judge()
        for attempt in range(1, self._settings.max_attempts):
            unsettled = [state for state in self._states if not state.settled]
            if not unsettled:
                return
            self._attempt = attempt
            self._tally.done = len(self._states) - len(unsettled)
            # The first attempt alone was made as soon as a list did not match.
            open_states = [state for state in unsettled if attempt > FIRST_ALONE or not state.alone]
            self._send(self._unanswered([Group([state], Part.ALONE) for state in open_states]))
            self._judge()

    def _first_groups(self) -> list[Group]:
        if self._grouping is None:
            size = self._settings.first_group
            return [
                Group(list(self._states[start : start + size])) for start in range(0, len(self._states), size)
            ]
        by_text = {state.text: state for state in self._states}
        groups = [*self._grouping.groups, *([text] for text in self._grouping.answered)]
        return [Group([by_text[text] for text in group]) for group in groups]

    def _request(self, states: Sequence[TextState], attempt: int) -> Request:
        texts = [state.text for state in states]
        model = self._session.model_name
        return request_of(self._prompt, self._settings, model, texts, attempt, self._changes)

    def _following(self, group: Group) -> Iterator[Request]:
        """The requests that may follow one about a group, in the worst case."""
        if len(group.states) == 1 and group.part is not Part.ALONE:
            yield from self._later(group.states[0])
            return
        for smaller in group.smaller(group.states):
            yield self._request(smaller.states, self._attempt_of(smaller))
            yield from self._following(smaller)

    def _later(self, state: TextState) -> Iterator[Request]:
        """The later attempts about a text that is alone in its request."""
        if self._settings.form is Form.SINGLE or not state.alone:
            attempts = range(FIRST_ALONE, self._settings.max_attempts)
            last = None if self._settings.form is Form.SINGLE else 1
            yield from (self._request([state], attempt) for attempt in attempts[:last])

    def _attempt_of(self, group: Group) -> int:
        """The attempt of the next request about a group, counted from 0."""
        return self._attempt or (FIRST_ALONE if group.part is Part.ALONE else 0)

    def _unanswered(self, groups: Sequence[Group]) -> list[Request]:
        """The requests about the groups that no answer covers. Answers in the ledger are used here."""
        waiting = deque(groups)
        unanswered = []
        while waiting:
            group = waiting.popleft()
            request, answer = self._found(group)
            if answer is not None:
                waiting.extendleft(reversed(self._use(group, request, answer)[1]))
                continue
            left = (
                group.states
                if self._attempt
                else [state for state in group.states if not self._use_earlier(state)]
            )
            if len(left) < len(group.states):
                waiting.extendleft([Group(left, group.part)] if left else [])
            elif self._may_be_sent(group):
                self._groups[request.key] = group
                unanswered.append(request)
            else:
                self._tally.add(1)
        return unanswered

    def _found(self, group: Group) -> tuple[Request, Answer | None]:
        """The next request about a group, and its answer in the ledger."""
        request = self._request(group.states, self._attempt_of(group))
        if group.part is Part.ALONE and not self._attempt:
            # Earlier versions asked about single texts at the first temperature.
            before = self._request(group.states, 0)
            answer = self._session.find(before)
            if answer is not None and parse(answer, before.inputs, self._prompt)[0].caption is not None:
                return before, answer
        return request, self._session.find(request)

    def _may_be_sent(self, group: Group) -> bool:
        """Whether it is not a text of a list that was asked about alone before."""
        return self._settings.form is Form.SINGLE or not group.states[0].alone

    def _use_earlier(self, state: TextState) -> bool:
        """Uses the answer to another list for a text, if there is one."""
        found = None if self._grouping is None else self._grouping.earlier.answer_for(state.text)
        if found is None:
            return False
        key, parsed = found
        state.take(parsed, key)
        self.used[key] += 1
        self._tally.add(1)
        return True

    def _send(self, requests: Sequence[Request]) -> None:
        """Sends requests. The first lists are sent one after the other, until one is answered usably."""
        waiting = deque(requests)
        following: list[Request] = []

        def hold(request: Request, outcome: Answer | AnswerError) -> tuple[()]:
            following.extend(self._handle(request, outcome))
            return ()

        for _ in range(USELESS_LISTS if len(waiting) > 1 else 0):
            if waiting and len(waiting[0].inputs) > 1 and not self._breaker.works:
                self._session.process([waiting.popleft()], hold)
        self._session.process([*waiting, *following], self._handle)

    def _handle(self, request: Request, outcome: Answer | AnswerError) -> list[Request]:
        """Takes an answer, or the error in its place. Returns the requests about what is unmatched."""
        group = self._groups.pop(request.key)
        if isinstance(outcome, Answer):
            parsed, smaller = self._use(group, request, outcome)
            self._breaker.check(parsed, outcome.text)
            return self._unanswered(smaller)
        for state in group.states:
            state.take(None, None, str(outcome))
            state.alone |= group.part is Part.ALONE
        return self._unanswered(self._smaller(group, group.states))

    def _use(self, group: Group, request: Request, answer: Answer) -> tuple[list[Parsed], list[Group]]:
        """Uses what an answer certainly says. Returns it, and the unmatched texts in smaller groups."""
        self.used[request.key] += len(group.states)
        found = parse(answer, request.inputs, self._prompt)
        if answer.finish_reason != FILTERED:
            self._breaker.add(found, whole=group.part is not Part.HALF)
        for state, parsed in zip(group.states, found, strict=True):
            state.take(parsed, request.key)
            state.alone |= group.part is Part.ALONE
        unmatched = [
            state for state, parsed in zip(group.states, found, strict=True) if parsed.caption is None
        ]
        return found, self._smaller(group, unmatched)

    def _smaller(self, group: Group, unmatched: Sequence[TextState]) -> list[Group]:
        smaller = group.smaller(unmatched)
        self._tally.add(len(group.states) - sum(len(part.states) for part in smaller))
        return smaller

    def _judge(self) -> None:
        """Judges the captions that have not been judged."""
        answered = [
            (state, state.parsed.caption)
            for state in self._states
            if state.judged is None and state.parsed and state.parsed.caption is not None
        ]
        candidates = [Candidate(caption, state.text, self._prompt.shown) for state, caption in answered]
        for (state, _), judged in zip(answered, judge(candidates, self._settings.rules), strict=True):
            state.judged = judged
