"""Ten-second scenes mixed from the corpus, so that their strong labels are true: the AudioSet-like source.

A split by recording keeps clips that share a recording on one side. A scene shares recordings with all
clips that it is mixed from. Scenes are mixed only within small pools of clips, so the groups of clips
that share a recording stay small.
"""

from __future__ import annotations

import base64
import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from wavcaps_assets.demo.clips import CC0, CC_BY_SA, DEMO_AUTHOR, DemoClip, Event, Source

SAMPLE_RATE = 32_000
SCENE_S = 10.0
MOST_EVENTS = 4
# Clips a pool: enough for varied scenes, few enough for some forty pools.
POOL_SIZE = 3
EVAL_SHARE = 0.15
FRAME_S = 0.01
# Frames before the first and after the last one above this level, relative to a clip's loudest frame,
# count as silence.
AUDIBLE_DB = -36.0
# A shorter event is a click that no annotator would mark.
SHORTEST_EVENT_S = 0.05
PEAK_DB = -3.0
GAIN_RANGE_DB = (-9.0, 0.0)
NOISE_RMS_DB = -65.0

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Label:
    """A row of `labels.csv`: a correct label of a clip, in AudioSet's vocabulary.

    Attributes:
        display_name: AudioSet's name of the sound; empty where none is certain.
        mid: its machine identifier.
        shares_sound_with: the origin of another clip that is heard in this one, where the texts do
            not name it.
    """

    display_name: str
    mid: str
    shares_sound_with: str


@dataclass(frozen=True)
class Component:
    """A labelled clip that scenes can be mixed from."""

    clip: DemoClip
    audio: Path
    display_name: str
    mid: str


def read_labels() -> dict[str, Label]:
    """`labels.csv` by the clip's origin."""
    table = resources.files("wavcaps_assets.demo").joinpath("labels.csv").read_text(encoding="utf-8")
    return {row.pop("clip"): Label(**row) for row in csv.DictReader(table.splitlines())}


def decibels(value: float) -> float:
    """The amplitude ratio of a level in dB."""
    return float(10 ** (value / 20))


def recording_groups(clips: Iterable[DemoClip]) -> list[list[DemoClip]]:
    """The clips in groups: two clips are in one group if a chain of shared recordings joins them."""
    groups: dict[str, list[DemoClip]] = {}
    group_of: dict[str, str] = {}
    for clip in clips:
        joined = {group_of[name] for name in clip.recordings if name in group_of}
        groups[clip.clip_id] = [*(member for name in sorted(joined) for member in groups.pop(name)), clip]
        for member in groups[clip.clip_id]:
            group_of.update(dict.fromkeys(member.recordings, clip.clip_id))
    return list(groups.values())


def make_pools(components: Sequence[Component], clips: Iterable[DemoClip]) -> list[list[Component]]:
    """Deals the components into pools of about `POOL_SIZE`, with labels as different as possible.

    Args:
        components: scenes are mixed from them.
        clips: all clips of the corpus. Those that share a recording go to the same pool, also where
            only an unlabelled clip joins them.
    """
    by_clip = {component.clip.clip_id: component for component in components}
    groups = [
        labelled
        for group in recording_groups(clips)
        if (labelled := [by_clip[clip.clip_id] for clip in group if clip.clip_id in by_clip])
    ]
    # Big groups first, then label by label, so that the emptiest pool is mostly one without that label.
    groups.sort(key=lambda group: (-len(group), group[0].display_name, group[0].clip.clip_id))
    pools: list[list[Component]] = [[] for _ in range(max(1, len(components) // POOL_SIZE))]
    for group in groups:
        names = {component.display_name for component in group}
        emptiest = min(
            pools,
            key=lambda pool: (len(pool), sum(component.display_name in names for component in pool)),
        )
        emptiest.extend(group)
    return [pool for pool in pools if pool]


def audible_part(samples: Samples, sample_rate: int) -> Samples:
    """The samples without the silence before and after; empty if there is no sound at all.

    Args:
        samples: mono, shape (n,).
        sample_rate: in Hz.
    """
    frame = max(1, round(FRAME_S * sample_rate))
    if not samples.size or not np.any(samples):
        return samples[:0]
    padded = np.pad(samples, (0, -samples.size % frame))
    levels = np.sqrt(np.mean(padded.reshape(-1, frame) ** 2, axis=1))
    loud = np.flatnonzero(levels >= levels.max() * decibels(AUDIBLE_DB))
    return samples[loud[0] * frame : (loud[-1] + 1) * frame]


def read_component(path: Path) -> Samples:
    """The audible part of a file: mono, `SAMPLE_RATE`, its peak at `PEAK_DB`, at most a scene long."""
    samples, rate = soundfile.read(path, always_2d=True)
    resampled = soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE)
    audible = audible_part(np.asarray(resampled, dtype=np.float64), SAMPLE_RATE)[
        : round(SCENE_S * SAMPLE_RATE)
    ]
    return audible * (decibels(PEAK_DB) / np.abs(audible).max()) if audible.size else audible


def segment_id(seed: int, index: int) -> str:
    """An id as AudioSet's: 11 characters as YouTube's, which may be `-` and `_`, and a start in ms."""
    digest = hashlib.sha256(f"{seed}/{index}".encode()).digest()
    return f"{base64.urlsafe_b64encode(digest)[:11].decode()}_{digest[-1] * 1000}"


def mix_scene(
    pool: Sequence[tuple[Component, Samples]], rng: np.random.Generator
) -> tuple[Samples, list[tuple[Component, Event]]]:
    """Mixes one scene.

    Args:
        pool: components, each with its samples: mono at `SAMPLE_RATE`.
        rng: the same state makes the same scene.

    Returns:
        The samples, shape (320000,), within -1 and 1, and the events in order of onset.
    """
    length = round(SCENE_S * SAMPLE_RATE)
    mixed = rng.normal(scale=decibels(NOISE_RMS_DB), size=length)
    count = min(int(rng.integers(1, MOST_EVENTS + 1)), len(pool))
    placed = []
    for choice in rng.choice(len(pool), size=count, replace=False):
        component, samples = pool[choice]
        # Whole milliseconds, the precision of AudioSet's label files.
        latest_ms = (length - samples.size) * 1000 // SAMPLE_RATE
        onset_ms = int(rng.integers(0, latest_ms + 1))
        start = onset_ms * SAMPLE_RATE // 1000
        mixed[start : start + samples.size] += samples * decibels(rng.uniform(*GAIN_RANGE_DB))
        offset_s = round(onset_ms / 1000 + samples.size / SAMPLE_RATE, 3)
        event = Event(
            onset_s=onset_ms / 1000, offset_s=offset_s, label=component.display_name, mid=component.mid
        )
        placed.append((component, event))
    placed.sort(key=lambda pair: (pair[1].onset_s, pair[1].offset_s))
    return mixed / max(1.0, float(np.abs(mixed).max())), placed


def make_scenes(
    components: Sequence[Component], clips: Sequence[DemoClip], folder: Path, count: int, seed: int
) -> list[DemoClip]:
    """Writes `count` scenes into the folder's `scenes` and describes them as AudioSet clips.

    Whole pools go to the `eval` split, so that it shares no recording with `train`.
    """
    (folder / "scenes").mkdir(parents=True, exist_ok=True)
    heard = {part.clip.clip_id: read_component(part.audio) for part in components}
    usable = [c for c in components if heard[c.clip.clip_id].size >= SHORTEST_EVENT_S * SAMPLE_RATE]
    pools = make_pools(usable, clips)
    in_eval = round(EVAL_SHARE * len(pools)) or int(len(pools) > 1)
    scenes = []
    for index in range(count if usable else 0):
        number = index % len(pools)
        pool = [(component, heard[component.clip.clip_id]) for component in pools[number]]
        samples, placed = mix_scene(pool, np.random.default_rng([seed, index]))
        segment = segment_id(seed, index)
        audio = f"scenes/Y{segment.rpartition('_')[0]}.wav"
        soundfile.write(folder / audio, samples, SAMPLE_RATE, subtype="PCM_16")
        parts = [component.clip for component, _ in placed]
        makers = ", ".join(dict.fromkeys(clip.author for clip in parts))
        scenes.append(
            DemoClip(
                source=Source.AUDIOSET,
                source_id=segment,
                origin=" + ".join(clip.origin for clip in parts),
                audio=audio,
                duration_s=SCENE_S,
                title=segment,
                text="",
                author=f"mixed by {DEMO_AUTHOR} from clips by {makers}",
                # The only licence of the corpus that allows remixes of all others.
                licence=CC0 if all(clip.licence == CC0 for clip in parts) else CC_BY_SA,
                recordings=tuple(dict.fromkeys(name for clip in parts for name in clip.recordings)),
                events=tuple(event for _, event in placed),
                split="eval" if number >= len(pools) - in_eval else "train",
            )
        )
    return scenes


def with_shared_sounds(clips: Sequence[DemoClip], labels: dict[str, Label]) -> list[DemoClip]:
    """The clips, with the added recordings that are heard in them according to `labels.csv`."""
    extra: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    by_origin = {clip.origin: clip for clip in clips}
    for origin, label in labels.items():
        if label.shares_sound_with in by_origin:
            extra[origin] = by_origin[label.shares_sound_with].recordings
    return [clip.model_copy(update={"recordings": clip.recordings + extra[clip.origin]}) for clip in clips]
