"""The rules of stage 1 in SQL: name, condition and detail.

Texts of clips and settings never become part of a statement: they are columns and parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wavcaps_assets.filtering.settings import DescriptionForm, FilterSettings

DUPLICATE = "exact_duplicate"
# A visible character.
VISIBLE = r"[^\s\p{Z}\p{C}]"
SPACED = r"trim(regexp_replace(description, '[\s\p{Z}\p{C}]+', ' ', 'g'))"
LOWERED = f"lower(nfc_normalize({SPACED}))"
FORMS = {
    DescriptionForm.EXACT: "description",
    DescriptionForm.SPACES: SPACED,
    DescriptionForm.SPACES_AND_CASE: LOWERED,
    # A text of signs only, such as "!!!", stays as it is.
    DescriptionForm.WORDS: (
        rf"coalesce(nullif(trim(regexp_replace({LOWERED}, '[^\p{{L}}\p{{M}}\p{{N}}]+', ' ', 'g')), ''), "
        f"{LOWERED})"
    ),
}


@dataclass(frozen=True)
class Rule:
    """A reason to drop a clip.

    Attributes:
        name: the reason code in `tables.DROPPED`.
        condition: SQL over the columns of `stage1.CLIPS`, true for a clip to drop; null counts as false.
        detail: SQL for the measured value and the limit.
        parameters: the settings used by the two.
    """

    name: str
    condition: str
    detail: str
    parameters: Mapping[str, object] = field(default_factory=dict)


def rules_of(settings: FilterSettings) -> tuple[Rule, ...]:
    """The rules that are on, in their order, without exact duplicates.

    Duplicates are searched among the clips that pass all other rules, so that the clip that is kept passes.
    """
    rules = [
        Rule("no_duration", "duration_s is null", "'neither measured nor claimed'"),
        Rule(
            "bad_duration",
            "not isfinite(duration_s) or duration_s < 0",
            "duration_s::varchar || ' s ' || origin",
        ),
        Rule(
            "too_short",
            "duration_s < $min_duration_s",
            # Not rounded: 0.9999 s must not look like 1 s.
            "duration_s::varchar || ' s ' || origin || ', minimum ' || $min_duration_s || ' s'",
            {"min_duration_s": settings.min_duration_s},
        ),
        Rule(
            "frequent_description",
            "repeats is not null",
            "repeats",
            {"max_clips": settings.max_clips_per_description},
        ),
        # After the paper's rules, so that their counts can be compared with the paper's.
        _least("silent", "peak_dbfs", settings.min_peak_dbfs, "dBFS"),
        _most("mostly_silent", "silence_share", settings.max_silence_share, "of the frames are silent"),
        _most("clipped", "clipped_share", settings.max_clipped_share, "of the samples are clipped"),
        _least("narrow_band", "bandwidth_hz", settings.min_bandwidth_hz, "Hz"),
        _licence(settings.licence_classes),
        Rule(
            "not_english",
            "foreign_language(words) != ''",
            "'language ' || foreign_language(words)",
        )
        if settings.english_only
        else None,
    ]
    return tuple(rule for rule in rules if rule is not None)


def reasons_of(settings: FilterSettings) -> tuple[str, ...]:
    """The names of the rules that are on, in their order."""
    last = (DUPLICATE,) if settings.drop_exact_duplicates else ()
    return (*(rule.name for rule in rules_of(settings)), *last)


def measures_of(settings: FilterSettings) -> list[str]:
    """The columns of `tables.AUDIO` that the active rules need, besides the duration."""
    needed = {
        "peak_dbfs": settings.min_peak_dbfs is not None,
        "silence_share": settings.max_silence_share is not None,
        "clipped_share": settings.max_clipped_share is not None,
        "bandwidth_hz": settings.min_bandwidth_hz is not None,
        "samples_sha256": settings.drop_exact_duplicates,
    }
    return [name for name, used in needed.items() if used]


def _most(name: str, column: str, most: float | None, what: str) -> Rule | None:
    if most is None:
        return None
    detail = f"{column}::varchar || ' {what}, maximum ' || $max_{column}"
    return Rule(name, f"{column} > $max_{column}", detail, {f"max_{column}": most})


def _least(name: str, column: str, least: float | None, unit: str) -> Rule | None:
    if least is None:
        return None
    detail = f"{column}::varchar || ' {unit}, minimum ' || $min_{column} || ' {unit}'"
    return Rule(name, f"{column} < $min_{column}", detail, {f"min_{column}": least})


def _licence(classes: list[str]) -> Rule | None:
    if not classes:
        return None
    detail = "licence_class || ', allowed: ' || array_to_string($classes, ', ')"
    return Rule(
        "licence_not_allowed", "not list_contains($classes, licence_class)", detail, {"classes": classes}
    )
