"""Asks a model about a caption again, and says what was wrong with it (section IV.E: "refined").

A text, its caption and the complaints are put as one JSON object: crawled text and a model's words stay
data. All else is as in stage 2: matched by index, written to the ledger first, never paid for twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable

from wavcaps_assets.captioning.grouping import Grouping, grouped
from wavcaps_assets.captioning.prompts import Example, Form, Prompt, PromptError, prompt_file, searched_files
from wavcaps_assets.captioning.questions import planned
from wavcaps_assets.captioning.refining import Rejected, SecondAnswer
from wavcaps_assets.captioning.rounds import Asked, Rounds
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.captioning.texts import clean
from wavcaps_assets.llm.chat import ChatModel
from wavcaps_assets.llm.estimate import Planned
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.progress import Tell, Watch
from wavcaps_assets.llm.spending import Spending, Unlimited
from wavcaps_assets.rules.settings import RULE_PRESETS
from wavcaps_assets.rules.table import RULES

log = logging.getLogger(__name__)

FOLDER = "second"
# What a rule saw may be a piece of hostile text.
DETAIL_CHARS = 80


@dataclass(frozen=True)
class SecondPrompt:
    """What a model is told before it is given captions to write anew, and each rule's complaint in words."""

    prompt: Prompt
    complaints: Mapping[str, str]

    def put(self, rejected: Rejected, max_text_chars: int) -> str:
        """A text, its caption and what is wrong with it, as a model is given them: one line of JSON."""
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
            log.warning("skipped while looking for a prompt: %s", error)
        else:
            yield from prompts


def load_second_prompt(preset: str, form: Form) -> SecondPrompt:
    """The prompt of second questions of a preset.

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


def asked_of(given: str) -> tuple[str, str] | None:
    """The description and the caption in a line that `SecondPrompt.put` made; None for any other line."""
    if not given.startswith('{"description": '):
        return None
    try:
        put = json.loads(given)
        return str(put["description"]), str(put["caption"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def planned_questions(
    rejected: Sequence[Rejected],
    turn: int,
    settings: CaptioningSettings,
    model_name: str,
    ledger: ResponseLedger,
) -> Iterator[Planned]:
    """The questions that `ask_again` begins with, for an estimate.

    Raises:
        PromptError: as `load_second_prompt`.
    """
    second, asking = load_second_prompt(settings.second_prompt, settings.form), _asking(settings, turn)
    groups = _grouped(rejected, second, asking, model_name, ledger).groups
    return planned(groups, second.prompt, asking, model_name, ledger)


def _asking(settings: CaptioningSettings, turn: int) -> CaptioningSettings:
    """How captions are asked about the second time (turn 0), the third (1), ..."""
    return settings.model_copy(
        update={
            "max_attempts": 1,
            "seed": settings.seed + turn,
            "temperature": settings.retry_temperature if turn else settings.temperature,
            "rules": RULE_PRESETS["answers"],
        }
    )


def _grouped(
    rejected: Sequence[Rejected],
    second: SecondPrompt,
    asking: CaptioningSettings,
    model_name: str,
    ledger: ResponseLedger,
) -> Grouping:
    """What is asked, each once, together as the ledger answers it."""
    once = list(dict.fromkeys(second.put(one, asking.max_text_chars) for one in rejected))
    return grouped(once, second.prompt, asking, model_name, ledger)


def ask_again(
    rejected: Sequence[Rejected],
    turn: int,
    source: str,
    settings: CaptioningSettings,
    model: ChatModel,
    ledger: ResponseLedger,
    spending: Spending | None = None,
    tell: Tell | None = None,
    watch: Watch | None = None,
) -> list[SecondAnswer]:
    """Asks once about each caption, in groups; what an answer does not match, in smaller groups.

    Args:
        turn: 0 for the second question, 1 for the third: each is a question of its own.
        settings: as stage 2 captioned the source.

    Returns:
        An answer for each, in their order.

    Raises:
        PromptError, EndpointError, and whatever `spending.admit` raises: as `engine.caption_clips`.
    """
    second = load_second_prompt(settings.second_prompt, settings.form)
    asking = _asking(settings, turn)
    grouping = _grouped(rejected, second, asking, model.name, ledger)
    asked = {line: Asked(line) for one in rejected if (line := second.put(one, settings.max_text_chars))}
    rounds = Rounds(second.prompt, source, asking, model, ledger, spending or Unlimited(), tell, watch)
    asyncio.run(rounds.settle(list(asked.values()), grouping))
    outcomes = (asked[second.put(one, settings.max_text_chars)] for one in rejected)
    return [_answer(outcome, model.name, second.prompt.version) for outcome in outcomes]


def _answer(outcome: Asked, model: str, version: str) -> SecondAnswer:
    caption = outcome.parsed.caption if outcome.parsed else None
    if caption is None or outcome.answer_id is None:
        return SecondAnswer(None, None, outcome.reason()[1])
    return SecondAnswer(caption, outcome.answer_id, "", model, version)
