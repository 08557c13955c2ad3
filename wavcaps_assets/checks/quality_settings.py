"""The thresholds that the captions of a manifest must meet to be published.

The asset checks in the UI and the command `wavcaps check` share these settings. A TOML file overrides
single ones.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from wavcaps_assets.analysis.paper_figures import TABLE_III, WHOLE_SET
from wavcaps_assets.rules.settings import RuleSettings

# Table III, words a caption after processing.
TABLE_III_WORDS = {
    row.source: row.after.mean_words
    for row in TABLE_III
    if row.source != WHOLE_SET and row.after.mean_words is not None
}


class UnusableSettings(ValueError):
    """A file of thresholds that cannot be read, or has an unknown setting or value."""


def _is_number(value: float) -> float:
    if math.isnan(value):
        raise ValueError("nan is not a threshold; use inf (or -inf) to switch a threshold off")
    return value


Threshold = Annotated[float, AfterValidator(_is_number)]


class Thresholds(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ceiling(Thresholds):
    """The highest allowed value; `inf` switches it off."""

    warn: Threshold = Field(math.inf, description="above this a person should look")
    error: Threshold = Field(math.inf, description="above this nothing is published")


class Floor(Thresholds):
    """The lowest allowed value; `-inf` switches it off."""

    warn: Threshold = Field(-math.inf, description="below this a person should look")
    error: Threshold = Field(-math.inf, description="below this nothing is published")


class MeanWords(Thresholds):
    """Mean words a caption: near Table III, and never far too few or too many."""

    expected: dict[str, Threshold] = Field(
        TABLE_III_WORDS,
        description="by source; for the whole set, their mean weighted by its clips (the 7.80 of Table III "
        "for the paper's set)",
    )
    off: Ceiling = Field(Ceiling(warn=1.5), description="words above or below the expected mean")
    fewest: Floor = Field(Floor(error=3.0), description="mean words of any source")
    most: Ceiling = Field(Ceiling(error=15.0), description="mean words of any source")


class Sample(Thresholds):
    """The captions that are parsed. All 403,050 of the paper take some minutes."""

    size: int = Field(
        5_000, ge=0, description="captions sampled from each source, and from the whole; 0: all"
    )
    seed: int = Field(0, description="another seed gives another sample")


class Drift(Thresholds):
    """Allowed differences from the previous set that passed."""

    mean_words: Ceiling = Field(Ceiling(warn=0.5), description="words a caption, more or fewer")
    unique: Ceiling = Field(Ceiling(warn=0.05), description="difference in the share of unique captions")
    vocabulary: Ceiling = Field(
        Ceiling(warn=0.3),
        description="Jensen-Shannon distance of the word distributions: 0 the same, 1 no word in common",
    )
    changed: Ceiling = Field(
        Ceiling(warn=0.2), description="share of the clips in both sets whose caption changed"
    )
    moved: Ceiling = Field(
        Ceiling(warn=0.05, error=0.3),
        description="share of the clips in both sets whose new caption belonged to exactly one other clip: "
        "captions that were shifted by a row",
    )


class QualitySettings(Thresholds):
    """Thresholds: beyond `error` a check blocks, beyond `warn` it only warns.

    All are shares (0 to 1), except numbers of words. An estimated share is beyond a threshold if its whole
    confidence interval is.
    """

    sample: Sample = Sample()
    confidence: float = Field(
        0.95, gt=0, lt=1, description="confidence level of the interval of an estimated share"
    )
    rules: RuleSettings = Field(RuleSettings(), description="the rules of stage 3, and their limits")
    unreadable: Ceiling = Field(Ceiling(error=0.0), description="rows whose caption is not text")
    repeated_ids: Ceiling = Field(Ceiling(error=0.0), description="rows whose clip already has a row")
    dropped: Ceiling = Field(
        Ceiling(warn=0.3, error=0.6), description="clips that stages 2 and 3 dropped; the paper: 0 to 0.22"
    )
    mean_words: MeanWords = MeanWords()
    digits: Ceiling = Field(Ceiling(error=0.0), description="captions with figures")
    banned_words: Ceiling = Field(Ceiling(error=0.0), description='captions with "heard", "recorded", …')
    unrepaired: Ceiling = Field(
        Ceiling(error=0.0),
        description="captions that a repair of stage 3 would change; `rules.repairs` names the repairs",
    )
    named_entities: Ceiling = Field(
        Ceiling(warn=0.01, error=0.05), description="captions with a name; spaCy has some false alarms"
    )
    no_verb: Ceiling = Field(Ceiling(warn=0.01, error=0.05), description="captions without a verb")
    event_order: Ceiling = Field(
        Ceiling(warn=0.05),
        description="captions of clips with labelled events whose words of time are false of these; for "
        "captions in temporal order set `error = 0`: the paper's prompt does not give the model the times",
    )
    caption_rules: Ceiling = Field(
        Ceiling(warn=0.0, error=0.001), description="captions that break any one other rule of stage 3"
    )
    unique: Floor = Field(
        Floor(warn=0.6, error=0.05), description="different captions; the paper: 330,609 of 403,050, or 0.82"
    )
    near_duplicates: Ceiling = Field(
        Ceiling(warn=0.2), description="of the different captions, those with the same words as another"
    )
    most_frequent: Ceiling = Field(
        Ceiling(warn=0.05, error=0.15),
        description="captions that repeat the most frequent one: 0.01 of the released SoundBible captions",
    )
    text_mismatch: Ceiling = Field(
        Ceiling(warn=0.25, error=0.5),
        description="captions that share no word with their own raw text, without words that any sound has: "
        "0.01 of the released SoundBible captions, and 0.9 of them when shifted by a row",
    )
    misplaced: Ceiling = Field(
        Ceiling(warn=0.0, error=0.01),
        description="captions in a run of adjacent ones, in the order of rows or ids, that fit the raw texts "
        "next to their own",
    )
    drift: Drift = Drift()


def load_settings(path: Path | None) -> QualitySettings:
    """The defaults, with the overrides of a TOML file.

    Raises:
        UnusableSettings: the file cannot be read, or has an unknown setting or value.
    """
    if path is None:
        return QualitySettings()
    try:
        changes = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UnusableSettings(f"the thresholds in {path} cannot be read: {error}") from error
    rules = changes.get("rules", {})
    if unknown := sorted(rules.keys() - RuleSettings.model_fields.keys()) if isinstance(rules, dict) else []:
        raise UnusableSettings(
            f"the thresholds in {path}: rules.{unknown[0]}: there is no such setting; there are "
            f"{', '.join(RuleSettings.model_fields)}"
        )
    try:
        return QualitySettings.model_validate(_merged(QualitySettings().model_dump(), changes))
    except ValidationError as error:
        problems = (
            f"{'.'.join(map(str, one['loc']))}: {_problem(one['type'], one['msg'])}" for one in error.errors()
        )
        raise UnusableSettings(f"the thresholds in {path}: {'; '.join(problems)}") from error


def _problem(kind: str, message: str) -> str:
    return "there is no such setting" if kind == "extra_forbidden" else message


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in changes.items():
        inside = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merged(merged[name], value) if inside else value
    return merged
