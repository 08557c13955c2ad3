from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.paths import DATA
from wavcaps_assets.demo.clips import CC0, Corpus, DemoClip, Source
from wavcaps_assets.demo.scenes import audible_part, make_scenes, read_labels, recording_groups
from wavcaps_assets.demo.synthesis import synthesised_corpus

MIDS = DATA / "audioset" / "mid_to_display_name.tsv"


def clip(number: int, *recordings: str) -> DemoClip:
    return DemoClip(
        source=Source.FREESOUND,
        source_id=str(number),
        origin=str(number),
        audio=None,
        duration_s=1,
        title="",
        text="",
        author="",
        licence=CC0,
        recordings=recordings,
    )


def test_silence_around_a_sound_is_cut_off() -> None:
    rate = 1000
    samples = np.concatenate([np.zeros(200), np.ones(300), np.full(100, 1e-4), np.zeros(50)])
    assert audible_part(samples, rate).size == 300
    assert audible_part(np.zeros(500), rate).size == 0
    assert audible_part(np.zeros(0), rate).size == 0


def test_clips_are_grouped_by_chains_of_shared_recordings() -> None:
    clips = [clip(1, "a"), clip(2, "b"), clip(3, "c"), clip(4, "a", "b"), clip(5, "d"), clip(6, "b", "e")]
    groups = {frozenset(member.source_id for member in group) for group in recording_groups(clips)}
    assert groups == {frozenset("1246"), frozenset("3"), frozenset("5")}


def assert_split_is_safe(corpus: Corpus, largest_share: float) -> None:
    scenes = corpus.of(Source.AUDIOSET)
    splits: defaultdict[str, set[str]] = defaultdict(set)
    groups = recording_groups(corpus.clips)
    for group in groups:
        assert len({member.split for member in group if member.split}) <= 1
    for scene in scenes:
        for name in scene.recordings:
            splits[name].add(scene.split)
    assert all(len(sides) == 1 for sides in splits.values())
    assert {scene.split for scene in scenes} == {"train", "eval"}
    assert max(map(len, groups)) <= largest_share * len(corpus.clips)


def assert_events_are_where_sound_is(corpus: Corpus) -> None:
    """Every event begins and ends in sound; outside all events there is only the noise floor."""
    for scene in corpus.of(Source.AUDIOSET):
        path = corpus.path(scene)
        assert path is not None
        samples, rate = soundfile.read(path)
        assert (samples.shape, rate) == ((320_000,), 32_000)
        assert scene.events
        assert list(scene.events) == sorted(scene.events, key=lambda e: (e.onset_s, e.offset_s))
        silent = np.ones(samples.size, dtype=bool)
        for event in scene.events:
            assert 0 <= event.onset_s < event.offset_s <= 10
            start, end = round(event.onset_s * rate), round(event.offset_s * rate)
            # The frames of 10 ms at both ends, and half a millisecond for the rounding of labels.
            silent[max(0, start - 16) : end + 16] = False
        floor = np.sqrt(np.mean(samples[silent] ** 2)) if silent.any() else 0.0
        assert floor < 10 ** (-60 / 20)
        for event in scene.events:
            start, end = round(event.onset_s * rate), round(event.offset_s * rate)
            for edge in (samples[start : start + 320], samples[max(start, end - 336) : end]):
                assert np.sqrt(np.mean(edge**2)) > 1.5 * floor


def test_scenes_are_safe_to_split_and_truly_labelled(corpus: Corpus) -> None:
    assert_split_is_safe(corpus, largest_share=0.25)
    assert_events_are_where_sound_is(corpus)


def test_scenes_of_the_real_corpus_are_safe_to_split_and_truly_labelled(real_corpus: Corpus) -> None:
    assert_split_is_safe(real_corpus, largest_share=0.05)
    assert_events_are_where_sound_is(real_corpus)


@pytest.mark.slow
def test_the_same_seed_makes_the_same_scenes(corpus: Corpus, tmp_path: Path) -> None:
    again = synthesised_corpus(tmp_path, clips=42, scenes=14)
    assert again.clips == corpus.clips
    scene = corpus.of(Source.AUDIOSET)[0]
    assert (tmp_path / str(scene.audio)).read_bytes() == (corpus.root / str(scene.audio)).read_bytes()
    other = synthesised_corpus(tmp_path / "other", clips=42, scenes=14, seed=1)
    assert other.of(Source.AUDIOSET)[0] != scene


def test_no_component_makes_no_scene(tmp_path: Path) -> None:
    assert make_scenes([], [], tmp_path, 5, 0) == []


def test_segment_ids_are_as_youtube_s_and_as_awkward(real_corpus: Corpus) -> None:
    ids = [scene.source_id for scene in real_corpus.of(Source.AUDIOSET)]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{11}_\d+", segment) for segment in ids)
    assert len({segment.rpartition("_")[0] for segment in ids}) == len(ids)
    assert any("_" in segment[:11] for segment in ids)
    assert any("-" in segment[:11] for segment in ids)


def test_labels_are_audioset_s_own(corpus: Corpus) -> None:
    if not MIDS.is_file():
        pytest.skip(f"AudioSet's vocabulary is not at {MIDS}")
    names = dict(line.split("\t") for line in MIDS.read_text(encoding="utf-8").splitlines())
    for origin, label in read_labels().items():
        assert names.get(label.mid, "") == label.display_name, origin
    for scene in corpus.of(Source.AUDIOSET):
        assert all(names[event.mid] == event.label for event in scene.events)
