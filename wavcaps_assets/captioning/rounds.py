"""Asks a model about many texts: in groups, many at a time, until each text is settled."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from wavcaps_assets.captioning.grouping import Grouping
from wavcaps_assets.captioning.parsing import Parsed, parse
from wavcaps_assets.captioning.prompts import Prompt
from wavcaps_assets.captioning.questions import question_of
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.llm.chat import AnswerError, ChatModel, EndpointError
from wavcaps_assets.llm.leases import Leases
from wavcaps_assets.llm.ledger import Answer, Request, ResponseLedger, record_of
from wavcaps_assets.llm.progress import Counted, Tell, Watch
from wavcaps_assets.llm.rate_limiter import RateLimiter, Stopped
from wavcaps_assets.llm.recorder import Recorder
from wavcaps_assets.llm.replies import UNREADABLE
from wavcaps_assets.llm.sender import Sender
from wavcaps_assets.llm.spending import Spending
from wavcaps_assets.llm.tokens import size
from wavcaps_assets.rules.judging import Candidate, Judged, judge
from wavcaps_assets.rules.rule import Verdict

# So many questions in a row without an answer, and the fault is not theirs.
FAILURES_IN_A_ROW = 20
# While an answer is written down, the next question is asked; what is under way is the pace's to say. A
# kill costs what has been asked and is not written down: so many, and no more.
WORKERS_A_REQUEST = 1.1
# Until a question that another run is asking is looked for again (s).
ASKED_ELSEWHERE_S = 0.2


@dataclass
class Asked:
    """A question on its way: what has been answered, and what the rules say of the last answer.

    `no_answer` says why there is none; it is empty once the model has answered.
    """

    question: str
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
        """Why there is no caption, and what was seen."""
        if self.no_answer:
            return "no_answer", self.no_answer
        if self.judged is None:
            return "unusable_answer", (self.parsed.problem if self.parsed else None) or "nothing was asked"
        if any(finding.rule == "failure" for finding in self.judged.findings):
            return "llm_failure", f"the model answers {self.judged.caption!r} to {self.question[:80]!r}"
        return "unusable_answer", f"{self.judged.complaint}; last answer {self.judged.caption[:80]!r}"


class Rounds:
    """Rounds of questions: what a round leaves unsettled is asked again in the next, one by one.

    Within a round, what an answer to a group does not match is asked again in groups of half the
    size, and so on to single texts. How a group is divided depends on its own answer only, so that a
    run that goes on where another ended asks the same questions.
    """

    def __init__(
        self,
        prompt: Prompt,
        source: str,
        settings: CaptioningSettings,
        model: ChatModel,
        ledger: ResponseLedger,
        spending: Spending,
        tell: Tell | None,
        watch: Watch | None,
    ) -> None:
        self._prompt = prompt
        self._source = source
        self._version = prompt.version
        self._settings = settings
        self._model = model
        self._ledger = ledger
        self._spending = spending
        # By the key of each answer: the texts that it was asked about here, be it by an earlier run.
        self.taken = Counter[str]()
        self._counted = Counted(tell, watch)
        self._failures = 0
        self._error: Exception | None = None
        self._grouping: Grouping | None = None
        self._recorder: Recorder
        self._claims: Leases
        self._sender: Sender
        self._pace: RateLimiter

    async def settle(self, asked: Sequence[Asked], grouping: Grouping | None = None) -> None:
        """Asks until every text has a caption or has been asked about often enough.

        Args:
            grouping: of all the texts; None: in their order.

        Raises:
            EndpointError: nothing can be answered.
            Exception: what `Spending.admit` raised, or the ledger. What was under way has been
                answered and written down before.
        """
        settings = self._settings
        self._counted.total = len(asked)
        self._pace = RateLimiter(
            settings.concurrency,
            settings.requests_per_minute,
            settings.tokens_per_minute,
            self._model.patience_s,
        )
        self._grouping = grouping
        with Leases(self._ledger) as self._claims:
            async with self._model, Recorder(self._ledger) as self._recorder:
                self._sender = Sender(
                    self._model,
                    self._source,
                    self._pace,
                    self._spending,
                    self._recorder,
                    self._counted,
                    self.taken,
                )
                for attempt in range(settings.max_attempts):
                    unsettled = [one for one in asked if not one.settled]
                    if not unsettled:
                        return
                    self._counted.done = len(asked) - len(unsettled)
                    groups = _groups(unsettled, 1) if attempt else self._first_groups(unsettled)
                    await self._round(groups, attempt)
                    self._judge(unsettled)

    def _first_groups(self, asked: Sequence[Asked]) -> list[list[Asked]]:
        if self._grouping is None:
            return _groups(asked, self._settings.first_group)
        of = {one.question: one for one in asked}
        groups = [*self._grouping.groups, *([text] for text in self._grouping.answered)]
        return [[of[text] for text in group] for group in groups]

    async def _round(self, groups: list[list[Asked]], attempt: int) -> None:
        queue: asyncio.Queue[tuple[list[Asked], Request]] = asyncio.Queue()
        for unanswered in self._unanswered(groups, attempt):
            queue.put_nowait(unanswered)

        async def work() -> None:
            while True:
                group, question = await queue.get()
                try:
                    if self._error is None:
                        for smaller in self._unanswered(await self._next(group, question), attempt):
                            queue.put_nowait(smaller)
                except Stopped:
                    pass
                except Exception as error:
                    self._error = self._error or error
                    self._pace.stop()
                finally:
                    self._error = self._error or self._sender.error
                    queue.task_done()

        count = math.ceil(self._settings.concurrency * WORKERS_A_REQUEST)
        workers = [asyncio.create_task(work()) for _ in range(count)]
        try:
            await queue.join()
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        if self._error is not None:
            raise self._error

    def _unanswered(self, groups: Sequence[list[Asked]], attempt: int) -> list[tuple[list[Asked], Request]]:
        """The groups without an answer in the ledger, with their questions; the others are dealt with."""
        waiting = deque(groups)
        unanswered = []
        while waiting:
            group = waiting.popleft()
            question = self._question(group, attempt)
            answer = self._ledger.get(question)
            if answer is not None:
                waiting.extendleft(reversed(self._take(group, question, answer)))
                continue
            left = group if attempt else [one for one in group if not self._said_earlier(one)]
            if len(left) == len(group):
                unanswered.append((group, question))
            elif left:
                waiting.appendleft(left)
        return unanswered

    def _said_earlier(self, one: Asked) -> bool:
        """Takes what an answer to another list says of a text, if one says something."""
        said = None if self._grouping is None else self._grouping.earlier.said_of(one.question)
        if said is None:
            return False
        key, parsed = said
        one.attempts += 1
        one.parsed, one.no_answer, one.answer_id = parsed, "", key
        self.taken[key] += 1
        self._counted.add(1)
        return True

    def _question(self, group: Sequence[Asked], attempt: int) -> Request:
        inputs = [one.question for one in group]
        return question_of(self._version, self._settings, self._model.name, inputs, attempt)

    async def _next(self, group: list[Asked], question: Request) -> list[list[Asked]]:
        """Asks about a group, unless another run does or has. Returns the groups that are to be looked at."""
        if not self._claims.take(question.key):
            await self._pace.pause(ASKED_ELSEWHERE_S)
            self._ledger.refresh()
            return [group]
        try:
            if self._claims.others_changed():
                self._ledger.refresh()
            return [group] if question in self._ledger else await self._ask(group, question)
        finally:
            self._claims.give_up(question.key)

    async def _ask(self, group: list[Asked], question: Request) -> list[list[Asked]]:
        """Asks about a group. Returns the smaller groups that what did not match is to be asked in."""
        messages = self._prompt.messages(question.inputs)
        try:
            answer = await self._sender.ask(question, messages)
        except AnswerError as error:
            self._failed(str(error))
            for one in group:
                one.attempts += 1
                one.parsed, one.no_answer = None, str(error)
            return self._divided(group, group)
        await self._recorder.write(record_of(question, answer, self._source, size(messages)))
        self._counted.answer(answer)
        if answer.finish_reason == UNREADABLE:
            self._failed(answer.text.partition("\n")[0])
        else:
            self._failures = 0
        return self._take(group, question, answer)

    def _failed(self, reason: str) -> None:
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            raise EndpointError(
                f"{self._failures} questions in a row got no answer, the last because {reason}. "
                "What was answered before is kept: run again when the endpoint is well"
            )

    def _take(self, group: list[Asked], question: Request, answer: Answer) -> list[list[Asked]]:
        """Believes of an answer what it says for certain. Returns groups as `_ask` does."""
        key = question.key
        self.taken[key] += len(group)
        unmatched = []
        for one, parsed in zip(group, parse(answer, question.inputs, self._prompt), strict=True):
            one.attempts += 1
            one.parsed, one.no_answer, one.answer_id = parsed, "", key
            if parsed.caption is None:
                unmatched.append(one)
        return self._divided(group, unmatched)

    def _divided(self, group: list[Asked], unmatched: list[Asked]) -> list[list[Asked]]:
        again = unmatched if len(group) > 1 else []
        self._counted.add(len(group) - len(again))
        return _groups(again, max(len(group) // 2, 1))

    def _judge(self, asked: Sequence[Asked]) -> None:
        shown = (self._prompt.instruction, *(example.caption for example in self._prompt.examples))
        answered = [
            (one, one.parsed.caption) for one in asked if one.parsed and one.parsed.caption is not None
        ]
        for one in asked:
            one.judged = None
        candidates = [Candidate(caption, one.question, shown) for one, caption in answered]
        for (one, _), judged in zip(answered, judge(candidates, self._settings.rules), strict=True):
            one.judged = judged


def _groups(asked: Sequence[Asked], size: int) -> list[list[Asked]]:
    return [list(asked[start : start + size]) for start in range(0, len(asked), size)]
