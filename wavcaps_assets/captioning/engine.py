"""Stage 2: asks the model about every clip, keeps what the rules accept, sets the rest aside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from wavcaps_assets.captioning import template
from wavcaps_assets.captioning.chat import AnswerError, ChatModel
from wavcaps_assets.captioning.ledger import Answer, Ledger, Question
from wavcaps_assets.captioning.parsing import Parsed, parse_numbered, parse_single
from wavcaps_assets.captioning.prompts import Form, Prompt, load_prompt
from wavcaps_assets.captioning.texts import AUDIOSET, MAX_CHARS, clean, clip_text, first_sentence
from wavcaps_assets.postprocessing.language import foreign_language
from wavcaps_assets.postprocessing.rule_settings import RuleSettings
from wavcaps_assets.postprocessing.rules import RULE_PRESETS, Candidate, Judged, Verdict, judge
from wavcaps_assets.schemas import DROPPED, FILTERED_CLIPS, LLM_CAPTIONS
from wavcaps_assets.stages import Stage, drop

STAGE = "llm_captions"

# Told how many questions have been answered, of how many.
Progress = Callable[[int, int], None]


class Method(StrEnum):
    """What writes the captions: a language model, or a template over labelled sound events."""

    MODEL = "model"
    TEMPLATE = "template"


class CaptioningSettings(BaseModel):
    """How clips are captioned. The defaults are the preset `paper` (Table I)."""

    model_config = ConfigDict(frozen=True)

    method: Method = Field(
        Method.MODEL, description="`template` needs no model, but labelled events: AudioSet only"
    )
    prompt: str = Field("paper", description="prompt preset: a file in captioning/prompts")
    form: Form = Field(Form.NUMBERED_LIST, description="the paper's numbered list, or one text a request")
    batch_size: int = Field(
        20, ge=1, le=200, description="texts a request in a numbered list; the paper does not say"
    )
    first_sentence_only: bool = Field(False, description="give the model the first sentence of a text only")
    max_text_chars: int = Field(MAX_CHARS, ge=20, description="longer texts are cut at a word")
    english_only: bool = Field(True, description="set texts in another language aside without asking")
    max_attempts: int = Field(3, ge=1, le=10, description="how often a text is asked about at most")
    temperature: float = Field(0.0, ge=0, le=2, description="of the first attempt; the paper does not say")
    retry_temperature: float = Field(0.4, ge=0, le=2, description="of later attempts, so that they differ")
    max_tokens: int = Field(
        60, ge=8, description="longest answer to one text (tokens); 20 words are about 30"
    )
    seed: int = Field(0, ge=0, description="of the model's sampling; each attempt adds one")
    concurrency: int = Field(4, ge=1, le=1000, description="requests under way at the same time")
    rules: RuleSettings = Field(RULE_PRESETS["paper"], description="which answers are taken")


CAPTIONING_PRESETS = {
    "paper": CaptioningSettings(),
    "small": CaptioningSettings(
        prompt="small",
        form=Form.SINGLE,
        first_sentence_only=True,
        max_text_chars=80,
        max_tokens=40,
        concurrency=1,
        rules=RULE_PRESETS["small"],
    ),
}


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


def caption_clips(
    clips: pa.Table,
    source: str,
    settings: CaptioningSettings,
    model: ChatModel | None,
    ledger: Ledger,
    progress: Progress | None = None,
) -> Stage:
    """Captions the clips of one source.

    The same question is asked once, however many clips it stands for. Every answer is in the ledger
    before it is looked at, and what the ledger holds is not asked again. Where the rules do not take
    an answer, the model is asked again, up to `max_attempts` times in all; then the clips are set aside.

    Args:
        clips: `schemas.FILTERED_CLIPS`.
        source: the source's name, which chooses the prompt.
        model: may be None where the method is `template`.
        progress: told after each answer.

    Returns:
        `schemas.LLM_CAPTIONS`, and the clips set aside as `empty_text`, `foreign_text`, `llm_failure`
        (the model says "Failure."), `no_answer` or `unusable_answer`.

    Raises:
        PromptError: there is no such prompt preset.
        EndpointError: no question can be answered; the answers so far are in the ledger.
        ValueError: the method does not fit the source, or there is no model.
    """
    if settings.method is Method.TEMPLATE and source != AUDIOSET:
        raise ValueError(f"the template needs labelled sound events, which {source!r} does not have")
    texts: dict[str, str] = {}
    kept, dropped = [], []
    rows = FILTERED_CLIPS.check(clips).to_pylist()
    for row in rows:
        text = clip_text(row)
        language = foreign_language(text) if settings.english_only and source != AUDIOSET else None
        if not text:
            dropped.append(drop(row["clip_id"], row["source"], STAGE, "empty_text", "it has no text"))
        elif language:
            dropped.append(
                drop(row["clip_id"], row["source"], STAGE, "foreign_text", f"{language}: {text[:80]}")
            )
        else:
            texts[row["clip_id"]] = text
    rows = [row for row in rows if row["clip_id"] in texts]
    if settings.method is Method.TEMPLATE:
        kept = [_by_template(row, texts[row["clip_id"]], settings) for row in rows]
        return Stage(LLM_CAPTIONS.from_rows(kept), DROPPED.from_rows(dropped))
    if model is None:
        raise ValueError("the method `model` needs a model")
    prompt = load_prompt(settings.prompt, source, settings.form)
    questions = {clip_id: _question(text, settings) for clip_id, text in texts.items()}
    asked = {question: Asked(question) for question in questions.values()}
    asyncio.run(_Rounds(prompt, settings, model, ledger, progress).settle(list(asked.values())))
    for row in rows:
        outcome = asked[questions[row["clip_id"]]]
        if outcome.accepted and outcome.parsed is not None:
            kept.append(
                {
                    "clip_id": row["clip_id"],
                    "source": row["source"],
                    "text": texts[row["clip_id"]],
                    "caption": outcome.parsed.caption,
                    "model": model.name,
                    "prompt_version": prompt.version,
                    "answer_id": outcome.answer_id,
                    "attempts": outcome.attempts,
                }
            )
        else:
            dropped.append(drop(row["clip_id"], row["source"], STAGE, *outcome.reason()))
    return Stage(LLM_CAPTIONS.from_rows(kept), DROPPED.from_rows(dropped))


def _question(text: str, settings: CaptioningSettings) -> str:
    """What the model is given of a text."""
    if settings.first_sentence_only and not text.startswith("["):
        text = first_sentence(text, settings.max_text_chars) or text
    return clean(text, settings.max_text_chars)


def _by_template(row: dict[str, Any], text: str, settings: CaptioningSettings) -> dict[str, Any]:
    return {
        "clip_id": row["clip_id"],
        "source": row["source"],
        "text": text,
        "caption": template.caption_events(row["events"], settings.rules.max_words),
        "model": template.MODEL_NAME,
        "prompt_version": template.version(),
        "answer_id": None,
        "attempts": 0,
    }


@dataclass
class _Rounds:
    """Rounds of questions: what a round leaves unsettled is asked again in the next, one by one."""

    prompt: Prompt
    settings: CaptioningSettings
    model: ChatModel
    ledger: Ledger
    progress: Progress | None

    async def settle(self, asked: Sequence[Asked]) -> None:
        async with self.model:
            for attempt in range(self.settings.max_attempts):
                unsettled = [one for one in asked if not one.settled]
                if not unsettled:
                    return
                listed = self.settings.form is Form.NUMBERED_LIST and attempt == 0
                size = self.settings.batch_size if listed else 1
                groups = iter([unsettled[start : start + size] for start in range(0, len(unsettled), size)])
                answered = Answered(total=len(asked), done=len(asked) - len(unsettled), tell=self.progress)
                # The first goes alone: a wrong key costs one request, and the endpoint has the prompt
                # in its cache before many ask with it.
                await self._work(islice(groups, 1), attempt, answered)
                await _first_error(
                    [self._work(groups, attempt, answered) for _ in range(self.settings.concurrency)]
                )
                self._judge(unsettled)

    async def _work(self, groups: Iterator[list[Asked]], attempt: int, answered: Answered) -> None:
        for group in groups:
            await self._ask(group, attempt)
            answered.add(len(group))

    async def _ask(self, group: list[Asked], attempt: int) -> None:
        parameters: dict[str, Any] = {
            "temperature": self.settings.retry_temperature if attempt else self.settings.temperature,
            "max_tokens": self.settings.max_tokens * len(group),
            "seed": self.settings.seed + attempt,
        }
        if self.settings.form is Form.SINGLE:
            parameters["stop"] = ["\n"]
        inputs = [one.question for one in group]
        question = Question(self.prompt.version, self.model.name, parameters, inputs, attempt)
        answer = self.ledger.get(question)
        if answer is None:
            try:
                answer = await self.model.ask(self.prompt.messages(inputs), parameters)
            except AnswerError as error:
                for one in group:
                    one.attempts += 1
                    one.parsed, one.no_answer = None, str(error)
                return
            self.ledger.record(question, answer)
        for one, parsed in zip(group, self._parse(answer, len(group)), strict=True):
            one.attempts += 1
            one.parsed, one.no_answer, one.answer_id = parsed, "", question.key

    def _parse(self, answer: Answer, count: int) -> list[Parsed]:
        if not answer.text.strip():
            return [Parsed(None, f"the answer is empty (finish reason {answer.finish_reason!r})")] * count
        cut_off = answer.finish_reason == "length"
        if self.settings.form is Form.NUMBERED_LIST:
            # The last line is not whole; which texts that costs shows in the lines before it.
            return parse_numbered(answer.text.rpartition("\n")[0] if cut_off else answer.text, count)
        return [Parsed(None, "the answer is cut off") if cut_off else parse_single(answer.text)]

    def _judge(self, asked: Sequence[Asked]) -> None:
        shown = (self.prompt.instruction, *(example.caption for example in self.prompt.examples))
        answered = [
            (one, one.parsed.caption) for one in asked if one.parsed and one.parsed.caption is not None
        ]
        for one in asked:
            one.judged = None
        candidates = [Candidate(caption, one.question, shown) for one, caption in answered]
        for (one, _), judged in zip(answered, judge(candidates, self.settings.rules), strict=True):
            one.judged = judged


@dataclass
class Answered:
    """Counts what is answered, and tells whoever wants to know."""

    total: int
    done: int
    tell: Progress | None

    def add(self, count: int) -> None:
        self.done += count
        if self.tell:
            self.tell(self.done, self.total)


async def _first_error(workers: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Runs the workers side by side; the first that fails stops the others and is raised itself."""
    tasks = [asyncio.create_task(worker) for worker in workers]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
