"""How the clips of a source are captioned, unless a run says otherwise."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from pydantic import ValidationError

from wavcaps_assets.captioning.prompts import load_inputs
from wavcaps_assets.captioning.settings import (
    CAPTIONING_PRESETS,
    CaptioningChoice,
    CaptioningSettings,
    Method,
)
from wavcaps_assets.captioning.texts import AUDIOSET, ClipField
from wavcaps_assets.tables.asset_tables import OtherVersion, TableStore

STAGE = ["llm_captions"]
Named = TypeVar("Named", bound=StrEnum)
Choice = TypeVar("Choice", bound=CaptioningChoice)


def named(kind: type[Named], name: str, what: str) -> Named:
    """The member of an enumeration that a person names.

    Args:
        what: what is named, for the message.

    Raises:
        ValueError: there is none of this name.
    """
    try:
        return kind(name)
    except ValueError:
        raise ValueError(f"no {what} {name!r}; there are {', '.join(kind)}") from None


def method_without_model(source: str) -> str:
    """The floor that models are compared with: what captions a source without one."""
    return (Method.TEMPLATE if source == AUDIOSET else Method.RULES).value


def choose_settings(
    source: str, embedded_model: bool, choice: CaptioningChoice | None = None
) -> CaptioningSettings:
    """The captioning settings of a source.

    Args:
        source: the source's name.
        embedded_model: whether the model is the demo's small one. It gets the preset `small`, and
            AudioSet's labelled events a template; any other model gets what the paper gave ChatGPT.
        choice: what a person wants otherwise.

    Raises:
        ValueError: there is no such preset or method, or a setting is not what it may be.
        PromptError: there is no such prompt.
    """
    choice = choice or CaptioningChoice()
    name = choice.preset or ("small" if embedded_model else "paper")
    if name not in CAPTIONING_PRESETS:
        raise ValueError(f"no captioning preset {name!r}; there are {', '.join(CAPTIONING_PRESETS)}")
    by_template = embedded_model and source == AUDIOSET and not choice.prompt
    method = named(Method, choice.method, "method") if choice.method else None
    values = {
        **CAPTIONING_PRESETS[name].model_dump(),
        "method": method or (Method.TEMPLATE if by_template else Method.MODEL),
    }
    if values["method"] is Method.MODEL:
        values |= load_inputs(choice.prompt or values["prompt"], source)
    values |= choice.chosen
    if values["method"] is not Method.MODEL:
        # A template has its events and rules their one sentence: what is added is for models.
        values["added"] = ()
    if values["method"] is Method.TEMPLATE:
        values["text_from"] = (ClipField.EVENTS,)
    try:
        return CaptioningSettings.model_validate(values)
    except ValidationError as error:
        raise ValueError(_said(error)) from error


def second_way(source: str, choice: Choice) -> Choice:
    """What a first way is compared with: what was chosen, or, where nothing was, the floor."""
    if choice == type(choice)():
        return choice.model_copy(update={"method": method_without_model(source)})
    return choice


def captioned_with(tables: TableStore, source: str) -> CaptioningSettings | None:
    """How stage 2 captioned a source, as its table says; None: it has no table, or that does not say.

    Raises:
        OtherVersion: an older or newer version of this project wrote the table, and it has other settings.
    """
    written = tables.settings_of(STAGE, source)
    try:
        return CaptioningSettings.model_validate_json(written) if written else None
    except ValidationError as error:
        raise OtherVersion(
            f"llm_captions of {source} was made with other settings than this version of the project has "
            f"({_said(error)}): materialize it again"
        ) from error


def _said(error: ValidationError) -> str:
    """What is wrong with settings, on one line: each by its name."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'captioning'}: {problem['msg']}"
        for problem in error.errors()
    )
