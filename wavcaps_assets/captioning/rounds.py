"""Asks a model about many texts: in groups, many at a time, until each text is settled."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wavcaps_assets.captioning.chat import AnswerError, BusyError, ChatModel, EndpointError, PassingError
from wavcaps_assets.captioning.ledger import Answer, Ledger, Question, record_of
from wavcaps_assets.captioning.pace import Pace, Stopped, back_off_s
from wavcaps_assets.captioning.parsing import Parsed, parse
from wavcaps_assets.captioning.progress import Counted, Tell, Watch
from wavcaps_assets.captioning.prompts import Message, Prompt, answer_format
from wavcaps_assets.captioning.recorder import Recorder
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.captioning.spending import Spending
from wavcaps_assets.captioning.tokens import size
from wavcaps_assets.postprocessing.rules import Candidate, Judged, Verdict, judge

# So many questions in a row without an answer, and the fault is not theirs.
FAILURES_IN_A_ROW = 20
# While one answer is written down, the next question is asked; what is under way is the pace's to say.
WORKERS_A_REQUEST = 2
# Never more tokens than so many a byte, in any script, and so many for what stands around a message.
TOKENS_PER_BYTE = 1 / 3
TOKENS_PER_MESSAGE = 4


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
        ledger: Ledger,
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
        self._counted = Counted(tell, watch)
        self._failures = 0
        self._error: Exception | None = None
        self._recorder: Recorder
        self._pace: Pace

    async def settle(self, asked: Sequence[Asked]) -> None:
        """Asks until every text has a caption or has been asked about often enough.

        Raises:
            EndpointError: nothing can be answered.
            Exception: what `Spending.admit` raised, or the ledger. What was under way has been
                answered and written down before.
        """
        settings = self._settings
        self._counted.total = len(asked)
        self._pace = Pace(
            settings.concurrency,
            settings.requests_per_minute,
            settings.tokens_per_minute,
            self._model.patience_s,
        )
        async with self._model, Recorder(self._ledger) as self._recorder:
            for attempt in range(settings.max_attempts):
                unsettled = [one for one in asked if not one.settled]
                if not unsettled:
                    return
                texts = 1 if attempt else settings.first_group
                self._counted.done = len(asked) - len(unsettled)
                await self._round(_groups(unsettled, texts), attempt)
                self._judge(unsettled)

    async def _round(self, groups: list[list[Asked]], attempt: int) -> None:
        queue: asyncio.Queue[tuple[list[Asked], Question]] = asyncio.Queue()
        for unanswered in self._unanswered(groups, attempt):
            queue.put_nowait(unanswered)

        async def work() -> None:
            while True:
                group, question = await queue.get()
                try:
                    if self._error is None:
                        for smaller in self._unanswered(await self._ask(group, question), attempt):
                            queue.put_nowait(smaller)
                except Stopped:
                    pass
                except Exception as error:
                    self._error = self._error or error
                    self._pace.stop()
                finally:
                    queue.task_done()

        count = self._settings.concurrency * WORKERS_A_REQUEST
        workers = [asyncio.create_task(work()) for _ in range(count)]
        try:
            await queue.join()
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        if self._error is not None:
            raise self._error

    def _unanswered(self, groups: Sequence[list[Asked]], attempt: int) -> list[tuple[list[Asked], Question]]:
        """The groups without an answer in the ledger, with their questions; the others are dealt with."""
        waiting = deque(groups)
        unanswered = []
        while waiting:
            group = waiting.popleft()
            question = self._question(group, attempt)
            answer = self._ledger.get(question)
            if answer is None:
                unanswered.append((group, question))
            else:
                waiting.extendleft(reversed(self._take(group, question, answer)))
        return unanswered

    def _question(self, group: Sequence[Asked], attempt: int) -> Question:
        inputs = [one.question for one in group]
        return question_of(self._version, self._settings, self._model.name, inputs, attempt)

    async def _ask(self, group: list[Asked], question: Question) -> list[list[Asked]]:
        """Asks about a group. Returns the smaller groups that what did not match is to be asked in."""
        messages = self._prompt.messages(question.inputs)
        try:
            answer = await self._send(messages, question.parameters)
        except AnswerError as error:
            self._failures += 1
            if self._failures >= FAILURES_IN_A_ROW:
                raise EndpointError(
                    f"{self._failures} questions in a row got no answer, the last because {error}. "
                    "What was answered before is kept: run again when the endpoint is well"
                ) from error
            for one in group:
                one.attempts += 1
                one.parsed, one.no_answer = None, str(error)
            return self._divided(group, group)
        self._failures = 0
        await self._recorder.write(record_of(question, answer, self._source, size(messages)))
        self._counted.answer(answer)
        return self._take(group, question, answer)

    async def _send(self, messages: Sequence[Message], parameters: Mapping[str, Any]) -> Answer:
        size_bytes = sum(len(message["content"].encode()) for message in messages)
        tokens = math.ceil(
            size_bytes * TOKENS_PER_BYTE + TOKENS_PER_MESSAGE * len(messages) + parameters["max_tokens"]
        )
        try:
            reservation = await self._spending.admit(messages, parameters)
        except Exception as error:
            # What was admitted before is still asked; nothing else is.
            self._error = self._error or error
            raise Stopped from error
        try:
            answer = await self._answer(messages, parameters, tokens)
        except AnswerError:
            self._spending.lost(reservation)
            raise
        except BaseException:
            self._spending.release(reservation)
            raise
        return self._spending.settle(answer, reservation)

    async def _answer(
        self, messages: Sequence[Message], parameters: Mapping[str, Any], tokens: float
    ) -> Answer:
        """Sends a question until it is answered, or will not be."""
        faults = 0
        while True:
            turn = await self._pace.turn(tokens)
            try:
                self._counted.requests += 1
                reply = await self._model.ask(messages, parameters)
            except BusyError as busy:
                self._pace.refused(turn, busy.headers, busy.reason)
            except PassingError as error:
                self._pace.failed(turn)
                faults += 1
                if faults > self._model.max_retries:
                    raise error.outcome from error
                await self._pace.pause(back_off_s(faults))
            except BaseException:
                self._pace.failed(turn)
                raise
            else:
                answer = reply.answer
                # Endpoints count the longest answer that there could have been.
                known = answer.prompt_tokens is not None
                counted = (answer.prompt_tokens or 0) + parameters["max_tokens"]
                self._pace.answered(turn, reply.headers, counted if known else None)
                return answer

    def _take(self, group: list[Asked], question: Question, answer: Answer) -> list[list[Asked]]:
        """Believes of an answer what it says for certain. Returns groups as `_ask` does."""
        key = question.key
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


def question_of(
    version: str, settings: CaptioningSettings, model: str, inputs: Sequence[str], attempt: int
) -> Question:
    """The question about some texts: what it is depends on nothing else."""
    parameters: dict[str, Any] = {
        "temperature": settings.retry_temperature if attempt else settings.temperature,
        "max_tokens": settings.max_tokens * len(inputs),
        "seed": settings.seed + attempt,
        **answer_format(settings.form),
    }
    return Question(version, model, parameters, list(inputs), attempt)


def _groups(asked: Sequence[Asked], size: int) -> list[list[Asked]]:
    return [list(asked[start : start + size]) for start in range(0, len(asked), size)]
