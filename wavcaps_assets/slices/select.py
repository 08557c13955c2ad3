"""Makes a slice: which clips of the set may be used for a purpose, and why the others may not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.slices.counts import clips_by_reason
from wavcaps_assets.slices.licence_classes import UNKNOWN, licence_class_of
from wavcaps_assets.slices.preferences import PREFERENCES, are_asked, permits
from wavcaps_assets.slices.settings import SliceSettings
from wavcaps_assets.slices.uses import OPEN_SOURCE_MODELS, IntendedUse
from wavcaps_assets.sources import MODULES
from wavcaps_assets.store.storage import StoreError
from wavcaps_assets.tables import AUDIO, DROPPED, MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore, set_version_of, with_set_version
from wavcaps_assets.tables.stage import Stage

STAGE = "slice"
MEASURES = ("clipped_share", "silence_share", "bandwidth_hz")
# A reason and a sentence for a value that is not permitted; None: it is.
Verdict = tuple[str, str] | None
# Of each clip, the reason and the sentence; null: the rule permits it.
Findings = tuple[pa.Array, pa.Array]
SHOWN_REASONS = 5


class UnknownSource(StoreError):
    """A setting names a source that neither this project nor the set has."""


class EmptySlice(StoreError):
    """No clip may be used, or none is left by the filters."""


def make_slice(
    clips: pa.Table, use: IntendedUse, settings: SliceSettings, measures: pa.Table | None = None
) -> Stage:
    """The clips that may be used for a purpose.

    Args:
        clips: `tables.MANIFEST`.
        measures: `clip_id` and `MEASURES` of `tables.AUDIO`; required if a setting limits one of these.

    Returns:
        `tables.MANIFEST`, and all other clips with the first reason why they are not in the slice.

    Raises:
        EmptySlice: no clip is left; says why.
        UnknownSource: a setting names a source that does not exist.
    """
    _require_sources(clips, [*settings.sources, *settings.cleared_sources])
    rules = [
        _of_sources(clips, settings),
        _uncleared(clips, settings, _of_licences(clips, use, settings)),
        _uncleared(clips, settings, _of_preferences(clips, use, settings)),
        *_of_flags(clips, settings),
        *_of_limits(clips.column("duration_s"), settings),
    ]
    if settings.needs_measures:
        if measures is None:
            raise ValueError("the limits of clipping, silence and bandwidth need the measures of the audio")
        rules += _of_measures(clips, settings, measures)
    reason = pc.coalesce(*(reasons for reasons, _ in rules))
    detail = pc.coalesce(*(details for _, details in rules))
    kept = clips.filter(pc.is_null(reason))
    left_out = pc.is_valid(reason)
    dropped = pa.table(
        {
            "clip_id": clips.column("clip_id").filter(left_out),
            "source": clips.column("source").filter(left_out),
            "stage": pa.repeat(STAGE, pc.sum(left_out).as_py() or 0),
            "reason": reason.filter(left_out),
            "detail": detail.filter(left_out),
        },
        schema=DROPPED.arrow,
    )
    if not len(kept):
        raise EmptySlice(_why_empty(use, clips, dropped))
    version = set_version_of(clips)
    return Stage(
        with_set_version(kept.cast(MANIFEST.arrow), version), dropped, settings=settings.model_dump_json()
    )


def _require_sources(clips: pa.Table, names: Sequence[str]) -> None:
    """An imported source has a name that only the set knows."""
    known = {*MODULES, *pc.unique(clips.column("source")).to_pylist()}
    if unknown := sorted(set(names) - known):
        raise UnknownSource(
            f"there is no source {', '.join(map(repr, unknown))}: there are {', '.join(sorted(known))}"
        )


def measures_of(tables: TableStore, sources: Sequence[str]) -> pa.Table:
    """The measures of the audio of some sources: `clip_id` and `MEASURES`."""
    columns = ["clip_id", *MEASURES]
    stored = [tables.read([source, "audio"], columns=columns) for source in sources]
    return pa.concat_tables([AUDIO.empty().select(columns), *stored])


def _why_empty(use: IntendedUse, clips: pa.Table, dropped: pa.Table) -> str:
    if not len(clips):
        return f"the slice for {use.title} has no clips, because the set has none"
    counted = list(clips_by_reason(dropped).items())[:SHOWN_REASONS]
    why = "; ".join(f"{number:,}: {reason}" for reason, number in counted)
    return (
        f"none of {len(clips):,} clips is in the slice for {use.title}: {why}. docs/slices.md has the "
        "rules, and the settings for what you have cleared yourself"
    )


def _of_sources(clips: pa.Table, settings: SliceSettings) -> Findings:
    def verdict(source: str) -> Verdict:
        if not settings.sources or source in settings.sources:
            return None
        return "source_not_chosen", f"{source} is not among the sources of the slice"

    return _by_value(clips.column("source"), verdict)


def _of_licences(clips: pa.Table, use: IntendedUse, settings: SliceSettings) -> Findings:
    def verdict(licence: str) -> Verdict:
        found = licence_class_of(licence)
        if use.name in found.uses or found.name in settings.cleared_licence_classes:
            return None
        code = "licence_unknown" if found is UNKNOWN else "licence_not_allowed"
        return code, f"the licence {licence} ({found.title}) is not for {use.title}: {found.why_not}"

    return _by_value(clips.column("licence_id"), verdict)


def _of_preferences(clips: pa.Table, use: IntendedUse, settings: SliceSettings) -> Findings:
    openly = settings.released_openly or use is OPEN_SOURCE_MODELS

    def verdict(preference: str | None) -> Verdict:
        if not settings.generative or preference is None or permits(preference, use.name, openly):
            return None
        if not preference:
            return "preference_unknown", "FreeSound asks its authors, and what this one answered is not known"
        known = PREFERENCES.get(preference)
        if known is None:
            return "preference_unknown", f"the preference {preference!r} is not known"
        return "preference_not_allowed", f"{preference} is not for {use.title}: {known.why_not}"

    preference = clips.column("gen_ai_preference")
    return _by_value(pc.if_else(are_asked(clips), pc.fill_null(preference, ""), preference), verdict)


def _uncleared(clips: pa.Table, settings: SliceSettings, findings: Findings) -> Findings:
    """What was found of clips whose rights the user has not cleared."""
    cleared = pc.is_in(clips.column("source"), value_set=pa.array(settings.cleared_sources, type=pa.string()))
    nothing = pa.scalar(None, pa.string())
    reasons, details = (pc.if_else(cleared, nothing, found) for found in findings)
    return reasons, details


def _of_flags(clips: pa.Table, settings: SliceSettings) -> list[Findings]:
    flags = (
        (settings.synthetic, "synthetic", "its tags say that it is AI-made"),
        (settings.explicit, "is_explicit", "its site marks it as explicit"),
    )
    return [
        _where(pc.fill_null(clips.column(column), False), column, sentence)
        for keep, column, sentence in flags
        if not keep
    ]


def _of_limits(duration: pa.ChunkedArray, settings: SliceSettings) -> list[Findings]:
    found = [
        _where(pc.less(duration, settings.shortest_s), "too_short", f"shorter than {settings.shortest_s:g} s")
    ]
    if settings.longest_s is not None:
        longest = settings.longest_s
        found.append(_where(pc.greater(duration, longest), "too_long", f"longer than {longest:g} s"))
    return found


def _of_measures(clips: pa.Table, settings: SliceSettings, measures: pa.Table) -> list[Findings]:
    place = pc.index_in(clips.column("clip_id"), value_set=measures.column("clip_id").combine_chunks())
    clipped, silence, bandwidth = (measures.column(name).take(place) for name in MEASURES)
    found = [_where(pc.is_null(place), "not_measured", "its audio was not measured")]
    if (most := settings.most_clipping) is not None:
        found.append(_where(pc.greater(clipped, most), "clipped", f"more than {most:g} of it is clipped"))
    if (most := settings.most_silence) is not None:
        found.append(_where(pc.greater(silence, most), "silent", f"more than {most:g} of it is silent"))
    if (least := settings.least_bandwidth_hz) is not None:
        found.append(_where(pc.less(bandwidth, least), "narrow", f"its bandwidth is below {least:g} Hz"))
    return found


def _where(excluded: pa.ChunkedArray, reason: str, sentence: str) -> Findings:
    nothing = pa.scalar(None, pa.string())
    return pc.if_else(excluded, reason, nothing), pc.if_else(excluded, sentence, nothing)


def _by_value(column: pa.ChunkedArray, verdict: Callable[[str], Verdict]) -> Findings:
    """Judges each value once. A null is permitted."""
    values = pc.unique(column).drop_null()
    verdicts = [verdict(value) or (None, None) for value in values.to_pylist()]
    place = pc.index_in(column, value_set=values)
    reasons, details = (
        pa.array([found[part] for found in verdicts], pa.string()).take(place) for part in (0, 1)
    )
    return reasons, details
