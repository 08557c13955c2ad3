"""What the captions of a manifest must be, as a whole, for it to be published: thresholds.

The same settings hold for the asset checks in the UI and for the command
`python -m wavcaps_assets.checks`; a TOML file changes single ones of them.
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
    """A file of thresholds that cannot be read, or says what no setting is."""


def _is_number(value: float) -> float:
    if math.isnan(value):
        raise ValueError("nan is no threshold; inf (or -inf) switches one off")
    return value


Threshold = Annotated[float, AfterValidator(_is_number)]


class Thresholds(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ceiling(Thresholds):
    """The most that a figure may be; `inf` switches a threshold off."""

    warn: Threshold = Field(math.inf, description="above this a person should look")
    error: Threshold = Field(math.inf, description="above this nothing is published")


class Floor(Thresholds):
    """The least that a figure may be; `-inf` switches a threshold off."""

    warn: Threshold = Field(-math.inf, description="below this a person should look")
    error: Threshold = Field(-math.inf, description="below this nothing is published")


class MeanWords(Thresholds):
    """Words a caption on average: near Table III, and at any rate of the length of a caption."""

    expected: dict[str, Threshold] = Field(
        TABLE_III_WORDS,
        description="by source; of the whole set the mean of these is expected, by the set's own numbers "
        "of clips (which makes the 7.80 of Table III of the paper's)",
    )
    off: Ceiling = Field(Ceiling(warn=1.5), description="words above or below what is expected")
    fewest: Floor = Field(Floor(error=3.0), description="words, whatever the source")
    most: Ceiling = Field(Ceiling(error=15.0), description="words, whatever the source")


class Sample(Thresholds):
    """Which captions the parser reads. It takes some minutes for all of the paper's 403,050."""

    size: int = Field(5_000, ge=0, description="captions of each source, and of the whole; 0: all")
    seed: int = Field(0, description="another seed draws other captions")


class Drift(Thresholds):
    """How far a set may be from the one before it."""

    mean_words: Ceiling = Field(Ceiling(warn=0.5), description="words a caption, more or fewer")
    unique: Ceiling = Field(Ceiling(warn=0.05), description="difference of the shares of different captions")
    vocabulary: Ceiling = Field(
        Ceiling(warn=0.3),
        description="Jensen-Shannon distance of the distributions of words: 0 the same, 1 no word in common",
    )
    changed: Ceiling = Field(
        Ceiling(warn=0.2), description="share of the clips in both sets whose caption changed"
    )
    moved: Ceiling = Field(
        Ceiling(warn=0.05, error=0.3),
        description="share of the clips in both sets whose new caption was that of another clip alone: "
        "captions that slipped by a row",
    )


class QualitySettings(Thresholds):
    """Thresholds with their severities: beyond `error` the check blocks, beyond `warn` it only says so.

    All are shares (0 to 1), except for words. A share that is estimated from a sample is beyond a
    threshold when its whole confidence interval is.
    """

    sample: Sample = Sample()
    confidence: float = Field(0.95, gt=0, lt=1, description="of the interval of a share from a sample")
    rules: RuleSettings = Field(RuleSettings(), description="the rules of stage 3, and their limits")
    unreadable: Ceiling = Field(Ceiling(error=0.0), description="rows whose caption is no text")
    repeated_ids: Ceiling = Field(Ceiling(error=0.0), description="rows whose clip had a row already")
    dropped: Ceiling = Field(
        Ceiling(warn=0.3, error=0.6), description="clips that stages 2 and 3 dropped; the paper: 0 to 0.22"
    )
    mean_words: MeanWords = MeanWords()
    digits: Ceiling = Field(Ceiling(error=0.0), description="captions with figures")
    banned_words: Ceiling = Field(Ceiling(error=0.0), description='captions with "heard", "recorded", …')
    unrepaired: Ceiling = Field(
        Ceiling(error=0.0),
        description="captions that a repair of stage 3 would change; `rules.repairs` says which repairs",
    )
    named_entities: Ceiling = Field(
        Ceiling(warn=0.01, error=0.05), description="captions with a name, of which spaCy sees some too many"
    )
    no_verb: Ceiling = Field(Ceiling(warn=0.01, error=0.05), description="captions without a verb")
    caption_rules: Ceiling = Field(
        Ceiling(warn=0.0, error=0.001), description="captions that break any one other rule of stage 3"
    )
    unique: Floor = Field(
        Floor(warn=0.6, error=0.05), description="different captions; the paper: 330,609 of 403,050, or 0.82"
    )
    near_duplicates: Ceiling = Field(
        Ceiling(warn=0.2), description="of the different captions, those with the same words as another"
    )
    text_mismatch: Ceiling = Field(
        Ceiling(warn=0.25, error=0.5),
        description="captions that share no word with their own raw text; 0.01 of the released SoundBible "
        "captions, and 0.7 once they are shifted by a row",
    )
    drift: Drift = Drift()


def load_settings(path: Path | None) -> QualitySettings:
    """The defaults, with what a TOML file changes of them.

    Raises:
        UnusableSettings: the file cannot be read, or a line of it is no setting; says which.
    """
    if path is None:
        return QualitySettings()
    try:
        changes = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UnusableSettings(f"the thresholds in {path} cannot be read: {error}") from error
    try:
        return QualitySettings.model_validate(_merged(QualitySettings().model_dump(), changes))
    except ValidationError as error:
        problems = (
            f"{'.'.join(map(str, one['loc']))}: {_said(one['type'], one['msg'])}" for one in error.errors()
        )
        raise UnusableSettings(f"the thresholds in {path}: {'; '.join(problems)}") from error


def _said(kind: str, message: str) -> str:
    return "there is no such setting" if kind == "extra_forbidden" else message


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in changes.items():
        inside = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merged(merged[name], value) if inside else value
    return merged
