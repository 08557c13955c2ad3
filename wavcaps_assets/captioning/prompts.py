"""Prompts as data: an instruction and examples for each source, in a TOML file for each preset.

A preset is a file in `prompts/`, or in the folder that WAVCAPS_PROMPTS names. `paper` has the two prompts of
the paper's Table I word for word; `small` is for models that are too small to follow them. The examples are
this project's own.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from wavcaps_assets.captioning import echoes
from wavcaps_assets.captioning.texts import ClipField
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.settings import Settings

logger = logging.getLogger(__name__)

# Settings in a source's entry in a preset: see `CaptioningSettings`.
INPUTS = ("text_from", "added")


class PromptError(ValueError):
    """There is no such prompt, or its file is wrong."""


class Form(StrEnum):
    """How the model is given texts.

    NUMBERED_LIST is the paper's: many texts in a request, and each answer starts with its index. STRUCTURED
    is the same with a JSON schema for the answer. SINGLE is one text in a request, with the examples as
    earlier turns of the conversation.
    """

    NUMBERED_LIST = "numbered_list"
    STRUCTURED = "structured"
    SINGLE = "single"


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "captions": {
            "type": "array",
            "description": "one entry for each text, in their order",
            "items": {
                "type": "object",
                "properties": {
                    "index": {"type": "integer", "description": "the index of the text"},
                    "caption": {"type": "string", "description": "the sentence, without its index"},
                },
                "required": ["index", "caption"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["captions"],
    "additionalProperties": False,
}


def answer_format(form: Form, echo: bool = False) -> dict[str, Any]:
    """The request parameters that set the format of the answer.

    Args:
        echo: whether the beginning of each text is repeated.
    """
    if form is Form.SINGLE:
        return {"stop": ["\n"]}
    if form is Form.STRUCTURED:
        schema = {"name": "captions", "strict": True, "schema": _echoing_schema() if echo else SCHEMA}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    return {}


def _echoing_schema() -> dict[str, Any]:
    """The schema with the beginning of each text before its caption."""
    schema = deepcopy(SCHEMA)
    entry = schema["properties"]["captions"]["items"]
    beginning = {"type": "string", "description": f"the first {echoes.WORDS} words of the text"}
    known = entry["properties"]
    entry["properties"] = {"index": known["index"], "text": beginning, "caption": known["caption"]}
    entry["required"] = list(entry["properties"])
    return schema


def form_of(parameters: Mapping[str, Any]) -> Form:
    """The form of a request with these parameters: the inverse of `answer_format`."""
    names_of = {form: answer_format(form).keys() for form in (Form.SINGLE, Form.STRUCTURED)}
    return next((form for form, names in names_of.items() if names <= parameters.keys()), Form.NUMBERED_LIST)


@dataclass(frozen=True)
class Example:
    text: str
    caption: str


@dataclass(frozen=True)
class Prompt:
    """The instruction and examples for the texts of one source.

    Attributes:
        form: how the model is given the texts.
        instruction: what to do with them.
        examples: texts with their captions.
        quotes: whether texts are in quotation marks, which mark them as data. Crawled texts are; lists of
            AudioSet's labels have their own.
        quotes_alone: whether a text in a request of its own is quoted, if texts in lists are.
        echo: whether the model repeats the beginning of each text of a list before the caption.
    """

    form: Form
    instruction: str
    examples: tuple[Example, ...]
    quotes: bool = True
    quotes_alone: bool = True
    echo: bool = False

    @property
    def shown(self) -> tuple[str, ...]:
        """The sentences that a model may repeat: the instruction and the examples' captions."""
        return (self.instruction, *(example.caption for example in self.examples))

    @cached_property
    def version(self) -> str:
        """Content hash: the same prompt has the same version everywhere."""
        content = asdict(self)
        # Included only if they change the messages, so that the versions of other prompts stay the same.
        alone = content.pop("quotes_alone") and self.quotes and self.form is Form.SINGLE
        echo = content.pop("echo")
        hashed = (
            content | ({"quotes_alone": True} if alone else {}) | ({"echo": echoes.WORDS} if echo else {})
        )
        return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()[:12]

    def messages(self, texts: Sequence[str]) -> list[Message]:
        """The conversation that asks for a caption of each text.

        Raises:
            ValueError: several texts in the form for one.
        """
        if self.form is Form.SINGLE:
            if len(texts) != 1:
                raise ValueError(f"the form {self.form} takes one text, not {len(texts)}")
            quoted = self.quotes and self.quotes_alone
            turns = [(_quoted(example.text, quoted), example.caption) for example in self.examples]
            last = _quoted(texts[0], quoted)
        else:
            questions = self._numbered([example.text for example in self.examples], self.quotes)
            answers = self._answers(self.examples)
            turns = [(questions, answers)] if self.examples else []
            last = self._numbered(texts, self.quotes)
        messages: list[Message] = [{"role": "system", "content": self._instruction}]
        for question, answer in turns:
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return [*messages, {"role": "user", "content": last}]

    @property
    def _instruction(self) -> str:
        if not self.echo:
            return self.instruction
        structured = self.form is Form.STRUCTURED
        return f"{self.instruction} {echoes.INSTRUCTION_STRUCTURED if structured else echoes.INSTRUCTION}"

    def _answers(self, examples: Sequence[Example]) -> str:
        if self.form is Form.NUMBERED_LIST:
            before = [
                f"{echoes.beginning(one.text)}{echoes.SEPARATOR}" if self.echo else "" for one in examples
            ]
            return self._numbered(
                [f"{echo}{one.caption}" for echo, one in zip(before, examples, strict=True)], False
            )
        items = [
            {
                "index": index,
                **({"text": echoes.beginning(one.text)} if self.echo else {}),
                "caption": one.caption,
            }
            for index, one in enumerate(examples, 1)
        ]
        return json.dumps({"captions": items}, ensure_ascii=False)

    @staticmethod
    def _numbered(lines: Sequence[str], quotes: bool) -> str:
        return "\n".join(f"{index}. {_quoted(line, quotes)}" for index, line in enumerate(lines, 1))


def _quoted(text: str, quoted: bool) -> str:
    return json.dumps(text, ensure_ascii=False) if quoted else text


def prompt_files(within: str = "") -> dict[str, Traversable]:
    """The file of each preset: those of this project, and those in the user's folder with another name.

    Args:
        within: a subfolder with prompts of another kind; the user's folder may lack it.

    Raises:
        PromptError: the user's folder does not exist.
    """
    return _own_files(within) | _packaged_files(within)


def prompt_file(preset: str, within: str = "", kind: str = "prompt preset") -> Traversable:
    """The file of a preset that was chosen.

    Raises:
        PromptError: there is no such preset, or a packaged preset and a user's file have this name.
    """
    own, packaged = _own_files(within), _packaged_files(within)
    if preset in own and preset in packaged:
        raise PromptError(f"{own[preset]} has the name of a packaged preset: rename it")
    files = own | packaged
    if preset not in files:
        raise PromptError(f"there is no {kind} {preset!r}; there are: {', '.join(sorted(files))}")
    return files[preset]


def searched_files(within: str = "") -> dict[str, Traversable]:
    """As `prompt_files`, to look for a prompt that may be in none of them.

    Nobody chose these files, so that a missing folder is a warning.
    """
    try:
        return prompt_files(within)
    except PromptError as error:
        logger.warning("looking for a prompt in the packaged presets only: %s", error)
        return _packaged_files(within)


def _packaged_files(within: str) -> dict[str, Traversable]:
    return _toml_files(resources.files("wavcaps_assets.captioning") / "prompts" / within)


def _own_files(within: str) -> dict[str, Traversable]:
    folder = Settings().prompts
    if not folder:
        return {}
    if not Path(folder).is_dir():
        raise PromptError(f"WAVCAPS_PROMPTS names {folder!r}, which is not a folder")
    place = Path(folder) / within
    return _toml_files(place) if place.is_dir() else {}


def _toml_files(folder: Traversable) -> dict[str, Traversable]:
    return {
        entry.name.removesuffix(".toml"): entry
        for entry in folder.iterdir()
        if entry.name.endswith(".toml") and not entry.name.startswith(".")
    }


def preset_names() -> list[str]:
    """The presets of this project, and those in the folder that WAVCAPS_PROMPTS names."""
    return sorted(prompt_files())


def find_prompt(version: str, source: str) -> Prompt | None:
    """The prompt of a version for a source; None if no current preset has it.

    Files that cannot be read are skipped with a warning: nobody chose them.
    """
    for _, file in sorted(searched_files().items()):
        try:
            prompts = [_prompt_in(file, source, form, echo) for form in Form for echo in (False, True)]
        except PromptError as error:
            logger.warning("skipped while looking for a prompt: %s", error)
            continue
        for prompt in prompts:
            if prompt.version == version:
                return prompt
    return None


def load_prompt(preset: str, source: str, form: Form, echo: bool = False) -> Prompt:
    """The prompt that a preset has for a source, or, if it has none, its default.

    Args:
        echo: see `Prompt`; a single text is not repeated.

    Raises:
        PromptError: there is no such preset, or its file is not a preset.
    """
    return _prompt_in(prompt_file(preset), source, form, echo)


def _prompt_in(file: Traversable, source: str, form: Form, echo: bool) -> Prompt:
    with _reading(file) as data:
        entry = _of_source(data, source)
        instruction = data["instructions"][entry["instruction"]]
        return Prompt(
            form=form,
            instruction=" ".join(instruction["text"].split()),
            examples=tuple(Example(str(text), str(caption)) for text, caption in entry["examples"]),
            quotes=bool(instruction["quotes"]),
            quotes_alone=bool(instruction.get("quotes_alone", True)),
            echo=echo and form is not Form.SINGLE,
        )


def load_inputs(preset: str, source: str) -> dict[str, list[ClipField]]:
    """The fields that a preset's prompt is written for, if its file sets them: `text_from` and `added`.

    Raises:
        PromptError: as `load_prompt`.
    """
    with _reading(prompt_file(preset)) as data:
        entry = _of_source(data, source)
        return {name: _fields(name, entry[name]) for name in INPUTS if name in entry}


def load_further(preset: str) -> dict[str, Any] | None:
    """What a preset's file says about further captions, its table `[further]`; None: it is no such kind.

    Raises:
        PromptError: as `load_prompt`.
    """
    with _reading(prompt_file(preset)) as data:
        further: dict[str, Any] | None = data.get("further")
        return further


def _fields(name: str, given: object) -> list[ClipField]:
    known = ", ".join(ClipField)
    if not isinstance(given, list) or not all(field in list(ClipField) for field in given):
        raise ValueError(f"has {name} = {given!r}: it must be a list of {known}")
    return [ClipField(field) for field in given]


def _of_source(data: dict[str, Any], source: str) -> dict[str, Any]:
    entry: dict[str, Any] = data["sources"].get(source) or data["sources"][data["default_source"]]
    return entry


@contextmanager
def _reading(file: Traversable) -> Iterator[dict[str, Any]]:
    """The content of a preset's file. What is missing or wrong in it is a `PromptError`."""
    try:
        yield tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise PromptError(
            f"the prompt preset {file} {problem}; it must look like captioning/prompts/paper.toml"
        ) from error
