"""Asks a model about a caption again, and says what is wrong with it (section IV.E: "refined").

A text, its caption and the complaints are one JSON object: crawled text and a model's words stay data. The
rest is as in stage 2: answers are matched by index, stored in the response ledger first, and paid for once.
"""

from __future__ import annotations

import json
import logging
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable

from wavcaps_assets.captioning.prompts import Example, Form, Prompt, PromptError, prompt_file, searched_files
from wavcaps_assets.captioning.requests import grouped
from wavcaps_assets.captioning.rounds import Rounds, TextState
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.captioning.texts import clean
from wavcaps_assets.llm.session import Session
from wavcaps_assets.rules.judging import Finding
from wavcaps_assets.rules.settings import RULE_PRESETS
from wavcaps_assets.rules.table import RULES

logger = logging.getLogger(__name__)

FOLDER = "second"
# The detail of a finding may be a piece of hostile text.
DETAIL_CHARS = 80


@dataclass(frozen=True)
class Rejected:
    """A caption to ask about again, and what is wrong with it."""

    text: str
    caption: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class SecondAnswer:
    """The answer to a second question.

    Attributes:
        caption: None: no answer matches.
        answer_id: the answer's key in the response ledger.
        problem: why there is no caption.
        model, prompt_version: of the request.
    """

    caption: str | None
    answer_id: str | None
    problem: str = ""
    model: str | None = None
    prompt_version: str | None = None


@dataclass(frozen=True)
class SecondPrompt:
    """The prompt for captions to rewrite, and the words of each rule's complaint."""

    prompt: Prompt
    complaints: Mapping[str, str]

    def line(self, rejected: Rejected, max_text_chars: int) -> str:
        """A text, its caption and what is wrong with it, as the model is given them: one line of JSON."""
        found = {finding.rule: finding.detail for finding in rejected.findings}
        return _line(clean(rejected.text, max_text_chars), clean(rejected.caption), found, self.complaints)


def _line(text: str, caption: str, found: Mapping[str, str], complaints: Mapping[str, str]) -> str:
    wrong = " ".join(
        complaints[rule].replace("{detail}", clean(detail, DETAIL_CHARS)) for rule, detail in found.items()
    )
    return json.dumps({"description": text, "caption": caption, "wrong": wrong}, ensure_ascii=False)


def find_second_prompt(version: str) -> Prompt | None:
    """The prompt of a version; None if no current preset has it."""
    return next((prompt for prompt in second_prompts() if prompt.version == version), None)


def second_prompts() -> Iterator[Prompt]:
    """Every prompt of second questions. Files that cannot be read are skipped with a warning."""
    for file in searched_files(FOLDER).values():
        try:
            prompts = [_second_prompt_in(file, form).prompt for form in Form]
        except PromptError as error:
            logger.warning("skipped while looking for a prompt: %s", error)
        else:
            yield from prompts


def load_second_prompt(preset: str, form: Form) -> SecondPrompt:
    """A preset's prompt for second questions.

    A rule's complaint is the rule's own, unless the file overrides it.

    Raises:
        PromptError: there is no such preset, its file is incomplete, or it names a rule that does not exist.
    """
    return _second_prompt_in(prompt_file(preset, FOLDER, "prompt preset of second questions"), form)


def _second_prompt_in(file: Traversable, form: Form) -> SecondPrompt:
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        complaints = _complaints(data.get("complaints", {}))
        examples = tuple(
            Example(
                _line(example["description"], example["caption"], _known(example["wrong"]), complaints),
                str(example["answer"]),
            )
            for example in data["examples"]
        )
        instruction = " ".join(data["instruction"].split())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise PromptError(
            f"the prompt preset {file} {problem}; it must look like captioning/prompts/second/paper.toml"
        ) from error
    return SecondPrompt(Prompt(form, instruction, examples, quotes=False), complaints)


def _complaints(overrides: Mapping[str, str]) -> dict[str, str]:
    own = {name: rule.complaint for name, rule in RULES.items()}
    return {**own, **{name: str(words) for name, words in _known(overrides).items()}}


def _known(by_rule: Mapping[str, str]) -> Mapping[str, str]:
    if unknown := sorted(by_rule.keys() - RULES.keys()):
        raise ValueError(f"names rules that do not exist: {', '.join(unknown)}; there are {', '.join(RULES)}")
    return by_rule


def parse_line(given: str) -> tuple[str, str] | None:
    """The description and the caption in a line that `SecondPrompt.line` made; None for any other line."""
    if not given.startswith('{"description": '):
        return None
    try:
        given_values = json.loads(given)
        return str(given_values["description"]), str(given_values["caption"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def ask_again(
    rejected: Sequence[Rejected], turn: int, settings: CaptioningSettings, session: Session
) -> list[SecondAnswer]:
    """Asks once about each caption, in groups; what an answer does not match, in smaller groups.

    The cost is estimated first.

    Args:
        turn: 0 for the second question about each caption, 1 for the third. Each turn has its own requests.
        settings: those that stage 2 captioned the source with.

    Returns:
        An answer for each caption, in their order.

    Raises:
        PromptError: as `load_second_prompt`.
        NothingUsable: the first answers cannot be used.
        Paused, EndpointError, PriceError, BudgetTooSmall, StoreError: as the methods of `Session`.
    """
    second = load_second_prompt(settings.second_prompt, settings.form)
    settings = _for_turn(settings, turn)
    lines = [second.line(one, settings.max_text_chars) for one in rejected]
    states = {line: TextState(line) for line in lines}
    grouping = grouped(list(states), second.prompt, settings, session)
    rounds = Rounds(second.prompt, settings, session)
    session.estimate(rounds.plan(list(states.values()), grouping), follow_ups=rounds.follow_ups())
    rounds.run()
    version = second.prompt.version
    return [_answer(states[line], session.model_name, version) for line in lines]


def _for_turn(settings: CaptioningSettings, turn: int) -> CaptioningSettings:
    return settings.model_copy(
        update={
            "max_attempts": 1,
            "seed": settings.seed + turn,
            "temperature": settings.retry_temperature if turn else settings.temperature,
            "rules": RULE_PRESETS["answers"],
        }
    )


def _answer(state: TextState, model: str, version: str) -> SecondAnswer:
    caption = state.parsed.caption if state.parsed else None
    if caption is None or state.answer_id is None:
        return SecondAnswer(None, None, state.reason()[1])
    return SecondAnswer(caption, state.answer_id, "", model, version)
