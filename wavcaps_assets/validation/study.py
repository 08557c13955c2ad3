"""Samples the clips of a study, and gives them and their captions ids that reveal nothing."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import pyarrow as pa

from wavcaps_assets.tables import VALIDATION_STUDY
from wavcaps_assets.validation.second_captions import SecondCaptions
from wavcaps_assets.validation.settings import StudySettings

ID_DIGITS = 16
COLUMNS = ["clip_id", "source", "caption", "audio_path", "duration_s", "samples_sha256", "attribution"]


class NoClipFits(ValueError):
    """No clip matches the settings."""


class UnusableClip(ValueError):
    """A clip cannot be shown to raters."""


@dataclass(frozen=True)
class Study:
    """A sample of clips to rate.

    Attributes:
        study_id: hash of everything that raters are shown; the same sample has the same id.
        key: `tables.VALIDATION_STUDY`, in the order of the sample.
        audio: the audio of each item for the page, by `item_id`.
        excluded: the number of clips that do not match the settings, by reason.
        unusable: the problem of each sampled clip that could not be used, by clip id.
    """

    study_id: str
    key: pa.Table
    audio: Mapping[str, bytes]
    excluded: Mapping[str, int]
    unusable: Mapping[str, str]

    @property
    def compares(self) -> bool:
        """Whether there are second captions."""
        return self.key.column("second_caption").null_count == 0


def sample_study(
    manifest: pa.Table,
    second: SecondCaptions | None,
    settings: StudySettings,
    load: Callable[[Mapping[str, Any]], bytes],
) -> Study:
    """Samples clips until there are enough, or no more.

    Args:
        manifest: `tables.MANIFEST`.
        second: the captions to compare with; None: clips are only rated.
        load: returns the audio of a row of the manifest for the page, or raises `UnusableClip`.

    Raises:
        NoClipFits: no clip matches the settings, or none has usable audio.
    """
    candidates, excluded = _candidates(manifest, second, settings)
    rows: list[dict[str, Any]] = []
    audio: dict[str, bytes] = {}
    unusable: dict[str, str] = {}
    for clip in _in_order(candidates, settings):
        if len(rows) == settings.clips:
            break
        try:
            sound = load(clip)
        except UnusableClip as error:
            unusable[clip["clip_id"]] = str(error)
            continue
        row = _named(clip, second, settings.seed)
        rows.append(row)
        audio[row["item_id"]] = sound
    if not rows:
        why = ", ".join(f"{count} {reason}" for reason, count in excluded.items())
        raise NoClipFits(
            f"none of {manifest.num_rows} clips fits the study ({why or 'the manifest is empty'}; "
            f"{len(unusable)} without usable audio): look at its settings `sources`, `longest_s` and "
            "`second_captions`"
        )
    study_id = _study_id(rows)
    key = VALIDATION_STUDY.from_rows({**row, "study_id": study_id} for row in rows)
    return Study(study_id, key, audio, excluded, unusable)


def _candidates(
    manifest: pa.Table, second: SecondCaptions | None, settings: StudySettings
) -> tuple[list[dict[str, Any]], Counter[str]]:
    fitting, excluded = [], Counter[str]()
    sources = _sources(manifest, settings)
    for clip in manifest.select(COLUMNS).to_pylist():
        if sources and clip["source"] not in sources:
            excluded["of other sources"] += 1
        elif not clip["duration_s"] <= settings.longest_s:
            excluded["too long"] += 1
        elif second is not None and clip["clip_id"] not in second.by_clip:
            excluded["without a second caption"] += 1
        else:
            fitting.append(clip)
    return fitting, excluded


def _sources(manifest: pa.Table, settings: StudySettings) -> list[str]:
    """The sources to sample from; empty: all. The paper's choice counts only if the set has such clips."""
    is_default = settings.sources == StudySettings().sources
    present = set(manifest.column("source").to_pylist())
    return [] if is_default and present.isdisjoint(settings.sources) else settings.sources


def _in_order(clips: Sequence[dict[str, Any]], settings: StudySettings) -> Iterator[dict[str, Any]]:
    """All clips in random order; one source after the other in turn, if `per_source`.

    A clip's place depends on its own id only, so that other clips change little.
    """
    shuffled = sorted(clips, key=lambda clip: _hash(settings.seed, "draw", clip["clip_id"]))
    if not settings.per_source:
        return iter(shuffled)
    by_source: dict[str, list[dict[str, Any]]] = {}
    for clip in sorted(shuffled, key=lambda clip: clip["source"]):
        by_source.setdefault(clip["source"], []).append(clip)
    turns = zip_longest(*by_source.values())
    return (clip for clip in chain.from_iterable(turns) if clip is not None)


def _named(clip: Mapping[str, Any], second: SecondCaptions | None, seed: str) -> dict[str, Any]:
    """A row of the key, without the study id."""
    clip_id = clip["clip_id"]
    row = {name: clip[name] for name in COLUMNS if name != "audio_path"}
    row["item_id"] = _hash(seed, "item", clip_id)
    row["caption_id"] = _hash(seed, "caption", clip_id, clip["caption"])
    if second is not None:
        texts = second.by_clip[clip_id]
        sampled = min(texts, key=lambda text: _hash(seed, "which", clip_id, text))
        row["second_caption"] = sampled
        row["second_caption_id"] = _hash(seed, "second", clip_id, sampled)
    return row


def _study_id(rows: Sequence[Mapping[str, Any]]) -> str:
    shown = sorted(json.dumps(row, sort_keys=True) for row in rows)
    return _hash(*shown)


def _hash(*parts: str) -> str:
    # As JSON, so that two different lists of parts never give the same string.
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:ID_DIGITS]
