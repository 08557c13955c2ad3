"""The rules of stage 1, in SQL: each by its name, what it looks for, and what it says it saw.

No text of a clip and no setting becomes part of a statement: they are columns and parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wavcaps_assets.filtering.settings import DescriptionForm, FilterSettings

DUPLICATE = "exact_duplicate"
# A character that a person sees.
VISIBLE = r"[^\s\p{Z}\p{C}]"
SPACED = r"trim(regexp_replace(description, '[\s\p{Z}\p{C}]+', ' ', 'g'))"
LOWERED = f"lower(nfc_normalize({SPACED}))"
FORMS = {
    DescriptionForm.EXACT: "description",
    DescriptionForm.SPACES: SPACED,
    DescriptionForm.SPACES_AND_CASE: LOWERED,
    # A text of signs only, such as "!!!", stays what it is.
    DescriptionForm.WORDS: (
        rf"coalesce(nullif(trim(regexp_replace({LOWERED}, '[^\p{{L}}\p{{M}}\p{{N}}]+', ' ', 'g')), ''), "
        f"{LOWERED})"
    ),
}


@dataclass(frozen=True)
class Rule:
    """A reason to drop a clip.

    Attributes:
        name: the reason, as it stands in `tables.DROPPED`.
        condition: SQL over the columns of `stage1.CLIPS`, true for a clip to drop; null counts as false.
        detail: SQL for what was seen, beside what is asked.
        parameters: the settings that the two name.
    """

    name: str
    condition: str
    detail: str
    parameters: Mapping[str, object] = field(default_factory=dict)


def rules_of(settings: FilterSettings) -> tuple[Rule, ...]:
    """The rules that are on, in their order, but for exact duplicates.

    Those are looked for among the clips that pass all others: the one that is kept must itself pass.
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
            # Not rounded: 0.9999 s must not look like the 1 s that is asked.
            "duration_s::varchar || ' s ' || origin || ', at least ' || $min_duration_s || ' s asked'",
            {"min_duration_s": settings.min_duration_s},
        ),
        Rule(
            "frequent_description",
            "told is not null",
            "told",
            {"max_clips": settings.max_clips_per_description},
        ),
        _most("mostly_silent", "silence_share", settings.max_silence_share, "of the frames are silent"),
        _most("clipped", "clipped_share", settings.max_clipped_share, "of the samples are clipped"),
        _narrow(settings.min_bandwidth_hz),
        _licence(settings.licence_classes),
        Rule(
            "not_english",
            "foreign_language(words) != ''",
            "'taken for ' || foreign_language(words)",
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
    """The columns of `tables.AUDIO` that the rules which are on look at, beside the duration."""
    asked = {
        "silence_share": settings.max_silence_share is not None,
        "clipped_share": settings.max_clipped_share is not None,
        "bandwidth_hz": settings.min_bandwidth_hz is not None,
        "samples_sha256": settings.drop_exact_duplicates,
    }
    return [name for name, wanted in asked.items() if wanted]


def _most(name: str, column: str, most: float | None, what: str) -> Rule | None:
    if most is None:
        return None
    detail = f"{column}::varchar || ' {what}, at most ' || $max_{column} || ' may be'"
    return Rule(name, f"{column} > $max_{column}", detail, {f"max_{column}": most})


def _narrow(least: float | None) -> Rule | None:
    if least is None:
        return None
    detail = "bandwidth_hz::varchar || ' Hz, at least ' || $min_bandwidth_hz || ' Hz asked'"
    return Rule("narrow_band", "bandwidth_hz < $min_bandwidth_hz", detail, {"min_bandwidth_hz": least})


def _licence(classes: list[str]) -> Rule | None:
    if not classes:
        return None
    detail = "licence_class || ', where ' || array_to_string($classes, ', ') || ' may be'"
    return Rule(
        "licence_not_allowed", "not list_contains($classes, licence_class)", detail, {"classes": classes}
    )
