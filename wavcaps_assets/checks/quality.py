"""The quality checks of captions: figures compared with thresholds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa

from wavcaps_assets.checks.caption_set import CaptionSet
from wavcaps_assets.checks.drift import drift
from wavcaps_assets.checks.figures import WHOLE, Figure, Limits, Result, Status
from wavcaps_assets.checks.measures import UNREPAIRED, measure, scopes
from wavcaps_assets.checks.quality_settings import QualitySettings
from wavcaps_assets.rules.table import RULES
from wavcaps_assets.rules.time_rules import EVENT_ORDER

DRIFT = "drift"
CAPTION_RULES = "caption_rules"
# Rules of stage 3 with their own check and threshold. All others share one.
OWN_CHECK = {
    "digits": "digits",
    "banned_words": "banned_words",
    "named_entity": "named_entities",
    "no_verb": "no_verb",
    EVENT_ORDER: EVENT_ORDER,
}
# The checks, in the order in which they are shown.
CHECKS = {
    "unreadable": "Every row has an id, and a caption that is text.",
    "repeated_ids": "Every clip has one row.",
    "dropped": "Stages 2 and 3 dropped no more clips than usual; the paper: 0 to 22%.",
    "mean_words": "Captions are about as long as the paper's of that source (Table III), and never far "
    "too short or too long.",
    "digits": 'Captions contain no figures: "Delete the proper noun modifiers, number modifiers, and unit '
    'modifiers" (Table I). Units in words are the rule `spelled_units`, one of the other rules.',
    "banned_words": 'Captions do not contain "heard", "recorded", … (Table I).',
    UNREPAIRED: "Captions need none of stage 3's repairs: HTML entities, invisible characters, quotation "
    "marks, extra spaces or full stops. What this project publishes has been repaired.",
    "named_entities": "Captions name no person, place or brand; measured with spaCy on a sample.",
    "no_verb": "Captions are sentences with a subject and a verb; measured with spaCy on a sample.",
    EVENT_ORDER: "Words of time such as “then” and “while” are true of the labelled events, where a clip has "
    "some.",
    CAPTION_RULES: "Captions break no other rule of stage 3.",
    "unique": "Captions differ from each other; of the paper's 403,050, 330,609 are unique.",
    "near_duplicates": "Different captions have different words, not only another order or inflection.",
    "most_frequent": "No caption is that of many clips.",
    "text_mismatch": "Captions share a word with their own raw text. Captions shifted by a row do not.",
    "misplaced": "Adjacent captions, in the order of rows or ids, do not fit the raw texts of the clips next "
    "to theirs.",
    DRIFT: "Captions are similar to the last set that passed, which may be older than the previous set: "
    "length, unique share, words, changes by clip, and captions that moved to another clip.",
}
NOTHING_BEFORE = "there is nothing to compare with yet"


def check_quality(
    captions: CaptionSet, settings: QualitySettings, before: pa.Table | None = None
) -> list[Result]:
    """All figures of a set, by source and as a whole, with their limits.

    Args:
        before: the set to compare with, with `clip_id`, `source` and `caption`; None if there is no such set.
    """
    found = measure(captions, settings)
    results = []
    for scope in scopes(captions.sources):
        figures = found[scope]
        for name in CHECKS:
            if name == CAPTION_RULES:
                results += [
                    Result(
                        CAPTION_RULES,
                        rule,
                        scope,
                        figures.get(rule),
                        Limits.of(settings.caption_rules),
                        NOT_KNOWN_RULES.get(rule, NO_CAPTIONS),
                    )
                    for rule in settings.rules.enabled
                    if rule not in OWN_CHECK
                ]
            elif name != DRIFT:
                measured = next((rule for rule, check in OWN_CHECK.items() if check == name), name)
                limits = _limits(name, scope, captions, settings)
                note = NOT_KNOWN.get(name, NO_CAPTIONS)
                results.append(Result(name, name, scope, figures.get(measured), limits, note))
    return results + check_drift(captions, settings, before)


def check_drift(captions: CaptionSet, settings: QualitySettings, before: pa.Table | None) -> list[Result]:
    """The drift of a set from another one, by source and as a whole, with its limits.

    Args:
        before: as for `check_quality`.
    """
    changes = {} if before is None else drift(before, captions.table)
    note = NOTHING_BEFORE if before is None else NOT_BEFORE
    return [
        result
        for scope in scopes(captions.sources)
        for result in _drift_results(scope, changes.get(scope, {}), settings, note)
    ]


NOT_BEFORE = "the earlier set does not have this source, under this or another name"
NO_CAPTIONS = "there are no captions"
NOT_KNOWN = {
    "dropped": "how many clips were dropped is not known",
    "text_mismatch": "the raw texts are not known",
    "misplaced": "the raw texts are not known",
    EVENT_ORDER: "no clip has labelled sound events",
}
NOT_KNOWN_RULES = {
    name: "the prompts that the captions were made with are not known"
    for name, rule in RULES.items()
    if rule.compares_prompt
}


def _drift_results(
    scope: str, changes: Mapping[str, Figure], settings: QualitySettings, note: str
) -> list[Result]:
    named = type(settings.drift).model_fields
    return [
        Result(DRIFT, f"{DRIFT} {name}", scope, changes.get(name), limits, note)
        for name in named
        for limits in (Limits.of(getattr(settings.drift, name)),)
    ]


def _limits(name: str, scope: str, captions: CaptionSet, settings: QualitySettings) -> Limits:
    if name != "mean_words":
        return Limits.of(getattr(settings, name))
    words = settings.mean_words
    limits = Limits.of(words.fewest).within(Limits.of(words.most))
    expected = _expected_words(scope, captions, words.expected)
    return limits if expected is None else limits.within(Limits.of(words.off, around=expected))


def _expected_words(scope: str, captions: CaptionSet, expected: Mapping[str, float]) -> float | None:
    """The expected words a caption of a source, or of this mix of sources; None if unknown."""
    if scope != WHOLE:
        return expected.get(scope)
    counts = Counter(captions.table.column("source").to_pylist())
    if not counts or counts.keys() - expected.keys():
        return None
    return sum(expected[source] * count for source, count in counts.items()) / counts.total()


def worst(results: Sequence[Result]) -> Status:
    """The status of several results together."""
    found = {result.status for result in results}
    order = (Status.FAILED, Status.WARNED, Status.PASSED)
    return next((status for status in order if status in found), Status.SKIPPED)
