"""The settings of stages 2 and 3 for a source: a preset, with what a person overrides."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TypeVar

from pydantic import ValidationError

from wavcaps_assets.captioning.kinds import require_known
from wavcaps_assets.captioning.prompts import load_inputs, load_prompt
from wavcaps_assets.captioning.settings import (
    CAPTIONING_PRESETS,
    CaptioningChoice,
    CaptioningSettings,
    Method,
)
from wavcaps_assets.captioning.texts import AUDIOSET, ClipField
from wavcaps_assets.rules.rule import Verdict
from wavcaps_assets.rules.settings import AS_GIVEN, RULE_PRESETS, RuleChoice, RuleSettings
from wavcaps_assets.rules.time_rules import EVENT_ORDER
from wavcaps_assets.settings import Settings
from wavcaps_assets.tables.asset_tables import OtherVersion, TableStore

STAGE = ["llm_captions"]
# The prompt of captions in temporal order.
TEMPORAL_PROMPT = "temporal"
Named = TypeVar("Named", bound=StrEnum)
Choice = TypeVar("Choice", bound=CaptioningChoice)


def named(kind: type[Named], name: str, what: str) -> Named:
    """The member of an enumeration with this name.

    Args:
        what: the kind of thing, for the message.

    Raises:
        ValueError: there is no such member.
    """
    try:
        return kind(name)
    except ValueError:
        raise ValueError(f"no {what} {name!r}; there are {', '.join(kind)}") from None


def method_without_model(source: str) -> str:
    """The floor that models are compared with: the method that captions a source without a model."""
    return (Method.TEMPLATE if source == AUDIOSET else Method.RULES).value


def choose_settings(
    source: str, embedded_model: bool, choice: CaptioningChoice | None = None
) -> CaptioningSettings:
    """The captioning settings of a source.

    Args:
        source: the source's name.
        embedded_model: whether the model is the demo's small one. Its preset is `small`, and AudioSet's
            labelled events get the template. Other models have the paper's preset.
        choice: settings to override.

    Raises:
        ValueError: there is no such preset or method, or a value is not allowed.
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
    with_events = source == AUDIOSET
    if choice.temporal and with_events and not choice.prompt:
        values["prompt"] = TEMPORAL_PROMPT
    if values["method"] is Method.MODEL:
        values |= load_inputs(choice.prompt or values["prompt"], source)
    values |= choice.chosen
    # A prompt that is written for times implies them.
    timed = ClipField.TIMED_EVENTS in values["text_from"]
    if timed and not with_events and len(values["text_from"]) == 1:
        raise ValueError(f"timed_events are AudioSet's; {source!r} has no labelled sound events")
    values["temporal"] = with_events and (timed or values["temporal"])
    if values["temporal"] and not timed:
        values["text_from"] = (ClipField.TIMED_EVENTS,)
    if values["method"] is not Method.MODEL:
        # Only a model can use the added fields.
        values["added"] = ()
    if values["method"] is Method.TEMPLATE:
        values["text_from"] = (ClipField.TIMED_EVENTS if values["temporal"] else ClipField.EVENTS,)
    try:
        return CaptioningSettings.model_validate(values)
    except ValidationError as error:
        raise ValueError(_problems(error)) from error


def choose_rules(choice: RuleChoice, embedded_model: bool, temporal: bool = False) -> RuleSettings:
    """The rules of stage 3: a preset, with what a person overrides.

    Args:
        choice: settings to override.
        embedded_model: whether the model is the demo's small one. It does not write better captions when
            it is asked again: it is asked again only if the choice says so.
        temporal: whether the captions are in temporal order. One whose words of time are false of the labels
            is then asked about again, unless the choice says otherwise.

    Raises:
        ValueError: there is no such preset, rule or repair, or a value is not allowed; says which are.
    """
    name = choice.preset or "paper"
    if name not in RULE_PRESETS:
        raise ValueError(f"no preset {name!r} of rules; there are {', '.join(RULE_PRESETS)}")
    rules = RULE_PRESETS[name]
    changes = choice.model_dump(exclude={"preset", "verdicts"}, exclude_none=True)
    if embedded_model:
        changes = {"second_questions": 0, **changes}
    in_order = {EVENT_ORDER: Verdict.ASK_AGAIN} if temporal else {}
    verdicts = {**rules.verdicts, **in_order, **choice.verdicts}
    try:
        return RuleSettings.model_validate({**rules.model_dump(), **changes, "verdicts": verdicts})
    except ValidationError as error:
        problems = (
            ": ".join([*map(str, one["loc"]), one["msg"].removeprefix("Value error, ")])
            for one in error.errors()
        )
        raise ValueError(f"these rules of stage 3 are not possible: {'; '.join(problems)}") from error


def or_given(choice: Choice, as_given: bool) -> Choice:
    """The choice; or, if nothing is chosen for clips that are published as they came, their own captions."""
    if as_given and not (choice.preset or choice.method or choice.chosen):
        return choice.model_copy(update={"method": Method.GIVEN.value})
    return choice


def or_prompt(choice: Choice, prompt: str) -> Choice:
    """The choice; or, if it leaves the way to caption open, with the prompt of WAVCAPS_PROMPT.

    Args:
        prompt: its name; empty: none is set.
    """
    if prompt and not (choice.preset or choice.method or choice.prompt):
        return choice.model_copy(update={"prompt": prompt})
    return choice


def wrong_setting(source: str, as_given: bool, settings: Settings) -> str:
    """Why a run that chooses nothing cannot caption a source, before anything is crawled; empty: it can.

    Args:
        source: the source's name.
        as_given: whether its clips are published as they came.
        settings: with the names of a prompt and of kinds of further captions.
    """
    choice = or_prompt(or_given(CaptioningChoice(), as_given), settings.prompt)
    try:
        chosen = choose_settings(source, settings.embedded_model, choice)
        if chosen.method is Method.MODEL:
            load_prompt(chosen.prompt, source, chosen.form, chosen.echo)
    except ValueError as error:
        return f"WAVCAPS_PROMPT: {error}" if settings.prompt else str(error)
    try:
        require_known(settings.other_captions)
    except ValueError as error:
        return f"WAVCAPS_OTHER_CAPTIONS: {error}"
    return ""


def rules_of_given(choice: RuleChoice, captioning: CaptioningSettings) -> RuleChoice:
    """The choice; or, if nothing is chosen for captions that are kept as they came, no rules."""
    if captioning.method is Method.GIVEN and choice == type(choice)():
        return choice.model_copy(update={"preset": AS_GIVEN})
    return choice


def or_floor(source: str, choice: Choice) -> Choice:
    """The choice, or the floor if nothing is chosen."""
    if choice == type(choice)():
        return choice.model_copy(update={"method": method_without_model(source)})
    return choice


def captioned_with(tables: TableStore, source: str) -> CaptioningSettings | None:
    """The settings that stage 2 captioned a source with, from its table; None: not known.

    Raises:
        OtherVersion: another version of this project wrote the table, with settings that this one lacks.
    """
    written = tables.settings_of(STAGE, source)
    try:
        return CaptioningSettings.model_validate_json(written) if written else None
    except ValidationError as error:
        raise OtherVersion(
            f"llm_captions of {source} was made with settings that this version of the project does not have "
            f"({_problems(error)}): materialize it again"
        ) from error


def keeps_given(tables: TableStore, source: str) -> bool:
    """Whether a source's captions are those that its clips came with, by the table of stage 2."""
    written = tables.settings_of(STAGE, source)
    try:
        return bool(written) and json.loads(written or "")["method"] == Method.GIVEN
    except (ValueError, KeyError, TypeError):
        return False


def _problems(error: ValidationError) -> str:
    """What is wrong with settings, on one line."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'captioning'}: {problem['msg']}"
        for problem in error.errors()
    )
