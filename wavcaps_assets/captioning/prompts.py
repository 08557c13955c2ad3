"""Prompts as data: an instruction and examples for each source, in a TOML file for each preset.

A preset is a file in `prompts/`. `paper` holds the two prompts of the paper's Table I word for word;
`small` asks the same of a model too small to follow them. The examples are this project's own.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import resources
from typing import TypedDict


class PromptError(ValueError):
    """There is no such prompt."""


class Form(StrEnum):
    """How texts are put to the model.

    NUMBERED_LIST is the paper's: many texts a request, each answer starting with its index. SINGLE is
    one text a request, with the examples as earlier turns of the conversation.
    """

    NUMBERED_LIST = "numbered_list"
    SINGLE = "single"


class Message(TypedDict):
    role: str
    content: str


@dataclass(frozen=True)
class Example:
    text: str
    caption: str


@dataclass(frozen=True)
class Prompt:
    """What a model is told before it is given the texts of one source.

    Attributes:
        form: how the texts are put.
        instruction: what to do with them.
        examples: texts with their captions.
        quotes: whether the texts of a list stand in quotation marks. Crawled texts do; lists of
            AudioSet's labels bring their own.
    """

    form: Form
    instruction: str
    examples: tuple[Example, ...]
    quotes: bool = True

    @property
    def version(self) -> str:
        """Content hash: the same prompt has the same version everywhere."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]

    def messages(self, texts: Sequence[str]) -> list[Message]:
        """The conversation that asks for a caption of each text.

        Raises:
            ValueError: several texts in the form that takes one.
        """
        if self.form is Form.SINGLE:
            if len(texts) != 1:
                raise ValueError(f"the form {self.form} takes one text, not {len(texts)}")
            turns = [(example.text, example.caption) for example in self.examples]
            asked = texts[0]
        else:
            questions = self._numbered([example.text for example in self.examples], self.quotes)
            answers = self._numbered([example.caption for example in self.examples], False)
            turns = [(questions, answers)] if self.examples else []
            asked = self._numbered(texts, self.quotes)
        messages: list[Message] = [{"role": "system", "content": self.instruction}]
        for question, answer in turns:
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return [*messages, {"role": "user", "content": asked}]

    @staticmethod
    def _numbered(lines: Sequence[str], quotes: bool) -> str:
        return "\n".join(
            f"{index}. {json.dumps(line, ensure_ascii=False) if quotes else line}"
            for index, line in enumerate(lines, 1)
        )


def preset_names() -> list[str]:
    folder = resources.files("wavcaps_assets.captioning") / "prompts"
    return sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def load_prompt(preset: str, source: str, form: Form) -> Prompt:
    """The prompt that a preset has for a source, or, if it has none, for sources at large.

    Raises:
        PromptError: there is no such preset.
    """
    if preset not in preset_names():
        raise PromptError(f"there is no prompt preset {preset!r}; there are: {', '.join(preset_names())}")
    file = resources.files("wavcaps_assets.captioning") / "prompts" / f"{preset}.toml"
    data = tomllib.loads(file.read_text(encoding="utf-8"))
    entry = data["sources"].get(source) or data["sources"][data["default_source"]]
    instruction = data["instructions"][entry["instruction"]]
    return Prompt(
        form=form,
        instruction=" ".join(instruction["text"].split()),
        examples=tuple(Example(text, caption) for text, caption in entry["examples"]),
        quotes=instruction["quotes"],
    )
