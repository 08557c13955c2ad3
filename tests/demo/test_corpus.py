from __future__ import annotations

import csv
import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wavcaps_assets.demo import corpus as corpus_module
from wavcaps_assets.demo.clips import Corpus, Source
from wavcaps_assets.demo.corpus import CorpusError, prepare_corpus
from wavcaps_assets.demo.debian import PackageError, unpack_package
from wavcaps_assets.demo.scenes import read_labels
from wavcaps_assets.demo.scratch import text_of, title_of


def test_without_apt_a_synthesised_corpus_takes_its_place_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "nothing-here").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing-here"))
    made = prepare_corpus(tmp_path / "cache", scenes=4)
    assert made.synthesised
    assert "apt-get" in made.reason
    assert "apt-get" in caplog.text
    assert len(made.of(Source.AUDIOSET)) == 4
    assert prepare_corpus(tmp_path / "cache", scenes=4) == made


def test_a_synthesised_corpus_can_be_asked_for(tmp_path: Path) -> None:
    made = prepare_corpus(tmp_path, scenes=2, synthesise=True)
    assert made.synthesised
    assert "asked for" in made.reason
    assert not (tmp_path / "packages").exists()


def test_a_build_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        prepare_corpus(tmp_path, scenes=1, seed=-1, synthesise=True)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_space_is_reported_plainly(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="MB are free"):
        prepare_corpus(tmp_path, scenes=10**12, synthesise=True)


def test_what_is_not_a_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wrong.deb").write_bytes(b"no package")
    with pytest.raises(PackageError, match="dpkg-deb"):
        unpack_package(tmp_path / "wrong.deb", tmp_path)


def test_texts_of_the_synthesised_sounds_are_true(corpus: Corpus) -> None:
    """What the texts say of pitch, checked by the spectrum."""
    expected = {"Deep": 220, "Low": 440, "High": 880, "Very high": 1760, "Shrill": 2640}
    steady = [clip for clip in corpus.clips if " tone humming steadily. " in clip.text]
    assert steady
    for clip in steady:
        samples, rate = soundfile.read(corpus.root / str(clip.audio))
        loudest = np.argmax(np.abs(np.fft.rfft(samples))) * rate / samples.size
        assert loudest == pytest.approx(expected[clip.text.partition(" tone ")[0]], abs=2)
        assert f"{samples.size / rate:g} seconds" in clip.text


def test_every_clip_id_is_unique_and_safe(corpus: Corpus) -> None:
    ids = [clip.clip_id for clip in corpus.clips]
    assert len(set(ids)) == len(ids)
    assert all(name.replace("-", "").replace("_", "").isalnum() for name in ids)


def test_bad_input_is_named_as_made_for_the_demo(corpus: Corpus) -> None:
    made = [clip for clip in corpus.clips if clip.made_for_demo]
    assert [clip.author for clip in made] == ["wavcaps-demo"] * 3
    assert [clip.audio is None for clip in made] == [True, False, False]
    assert [bool(clip.text) for clip in made] == [True, True, False]


def test_names_of_files_become_titles_and_texts() -> None:
    assert title_of("HorseGallop") == "Horse Gallop"
    assert title_of("Laugh-male2") == "Laugh Male 2"
    assert title_of("Come-and-play") == "Come And Play"
    assert text_of("HorseGallop", "Animal") == "Horse gallop, animal sound."
    assert text_of("Laugh-male2", "Human") == "Laugh, male, human sound."
    assert text_of("Footsteps-1", "Human") == "Footsteps, human sound."
    assert text_of("xylo4", "Music Loops") == "Xylo, music loop."


@pytest.mark.slow
def test_the_real_corpus_is_what_the_packages_hold(real_corpus: Corpus) -> None:
    opensfx = [clip for clip in real_corpus.of(Source.FREESOUND) if not clip.made_for_demo]
    scratch = [*real_corpus.of(Source.SOUNDBIBLE), *real_corpus.of(Source.BBC)]
    assert (len(opensfx), len(scratch)) == (73, 114)
    assert sum(clip.duration_s > 0 for clip in opensfx) == 71
    assert len({clip.origin for clip in scratch}) == 114
    assert all(clip.text.startswith('"') and "License: Creative Commons" in clip.text for clip in opensfx)
    assert min(clip.created for clip in opensfx) >= "2022-09-01"
    assert max(clip.created for clip in opensfx) < "2022-12-01"


def test_clips_cut_from_one_recording_share_it(real_corpus: Corpus) -> None:
    of = {clip.origin: set(clip.recordings) for clip in real_corpus.clips}
    bus, comedy = of["opensfx/Truck/old bus start, pull away"], of["opensfx/Toyland: Comedy bus start (1)"]
    assert bus & comedy
    assert of["opensfx/Wind"] == of["opensfx/Heavy wind"]
    assert not of["scratch/Human/Footsteps-1"] & of["scratch/Human/Footsteps-2"]
    # These two name different originals and yet sound alike for most of their length.
    assert of["opensfx/Train/ship breakdown"] & of["opensfx/Toyland: Train breakdown"]


def test_every_label_names_a_clip_of_the_real_corpus(real_corpus: Corpus) -> None:
    origins = {clip.origin for clip in real_corpus.clips}
    labels = read_labels()
    assert labels.keys() <= origins
    assert {label.shares_sound_with for label in labels.values()} - {""} <= origins
    table = Path(corpus_module.__file__).with_name("labels.csv")
    assert len(labels) == len(list(csv.DictReader(table.open(encoding="utf-8"))))
