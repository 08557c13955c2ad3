"""Protocols of retrieval, on real files and a small model: which part of a clip is heard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.training.small_models import SMALL_HTSAT, small_bert
from wavcaps_training.data import AudioFolder, Clip, UnreadableClips
from wavcaps_training.evaluation.protocols import PROTOCOLS, ProtocolName
from wavcaps_training.evaluation.ranking import score_retrieval
from wavcaps_training.evaluation.retrieval import BlankCaptions, embed, evaluate_retrieval
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.settings.model import ModelSettings, TextEncoderSettings
from wavcaps_training.settings.training import ClipSettings, TrainingSettings
from wavcaps_training.tables import RETRIEVAL_SCORES

RATE = 32_000
SETTINGS = TrainingSettings(
    model=ModelSettings(
        audio=SMALL_HTSAT, text=TextEncoderSettings(folder=str(small_bert()), frozen=True), joint_dim=16
    ),
    clip=ClipSettings(seconds=2.0),
    batch_size=4,
)
DURATIONS = {"short": 1.0, "exact": 2.0, "long": 5.0}


@pytest.fixture(scope="module")
def model() -> RetrievalModel:
    torch.manual_seed(0)
    return RetrievalModel.build(SETTINGS).eval()


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> AudioFolder:
    folder = tmp_path_factory.mktemp("audio")
    generator = np.random.default_rng(0)
    for name, seconds in DURATIONS.items():
        # A tone that rises, so that each part sounds different.
        time = np.arange(round(RATE * seconds)) / RATE
        tone = np.sin(2 * np.pi * (200 + 400 * time) * time) + generator.normal(size=len(time)) / 20
        soundfile.write(folder / f"{name}.flac", 0.4 * tone, RATE, subtype="PCM_16")
    return AudioFolder(folder)


@pytest.fixture
def clips() -> list[Clip]:
    return [
        Clip(name, (f"{name} one.", f"{name} two."), f"{name}.flac", seconds)
        for name, seconds in DURATIONS.items()
    ]


def part(model: RetrievalModel, audio: AudioFolder, name: str, start_s: float) -> np.ndarray:
    """The vector of two seconds of a clip, cut by hand."""
    samples, _ = soundfile.read(audio.store.root / f"{name}.flac", dtype="float32")
    cut = samples[round(start_s * RATE) :][: 2 * RATE]
    padded = np.pad(cut, (0, 2 * RATE - len(cut)))
    with torch.no_grad():
        vector: np.ndarray = model.embed_audio(torch.from_numpy(padded)[None])[0].numpy()
    return vector


def test_windows_cover_a_long_clip_and_are_averaged(
    model: RetrievalModel, audio: AudioFolder, clips: list[Clip]
) -> None:
    sounds, _, _ = embed(model, clips, audio, SETTINGS, protocol=PROTOCOLS[ProtocolName.windows])
    # Five seconds: three windows of two seconds, at the start, in the middle and at the end.
    mean = np.mean([part(model, audio, "long", start) for start in (0, 1.5, 3)], axis=0)
    np.testing.assert_allclose(sounds[2], mean / np.linalg.norm(mean), atol=1e-5)
    for row, name in enumerate(("short", "exact")):
        np.testing.assert_allclose(sounds[row], part(model, audio, name, 0), atol=1e-5)


def test_one_crop_is_in_the_middle_or_random_by_seed(
    model: RetrievalModel, audio: AudioFolder, clips: list[Clip]
) -> None:
    middle, _, _ = embed(model, clips, audio, SETTINGS)
    np.testing.assert_allclose(middle[2], part(model, audio, "long", 1.5), atol=1e-5)
    paper = PROTOCOLS[ProtocolName.paper]
    drawn, _, _ = embed(model, clips, audio, SETTINGS, protocol=paper)
    again, _, _ = embed(model, clips, audio, SETTINGS, protocol=paper)
    np.testing.assert_array_equal(drawn, again)
    (position,) = paper.positions(clips[2], SETTINGS)
    np.testing.assert_allclose(drawn[2], part(model, audio, "long", 3 * position), atol=1e-3)
    others = {paper.positions(clips[2], SETTINGS.model_copy(update={"seed": seed}))[0] for seed in range(50)}
    assert len(others) == 50 and min(others) < 0.2 and max(others) > 0.8


def test_the_released_protocol_pads_to_the_longest_of_the_batch(
    model: RetrievalModel, audio: AudioFolder, clips: list[Clip]
) -> None:
    short = [clips[0]]
    released, _, _ = embed(model, short, audio, SETTINGS, protocol=PROTOCOLS[ProtocolName.released])
    samples, _ = soundfile.read(audio.store.root / "short.flac", dtype="float32")
    with torch.no_grad():
        alone = model.embed_audio(torch.from_numpy(samples)[None])[0].numpy()
    np.testing.assert_allclose(released[0], alone, atol=1e-5)
    assert np.abs(alone - part(model, audio, "short", 0)).max() > 1e-3


@pytest.mark.parametrize("batch_size", [2, 3, 64])
def test_equal_captions_of_two_clips_are_tied_and_help_neither(
    model: RetrievalModel, audio: AudioFolder, clips: list[Clip], batch_size: int
) -> None:
    """Equal for the model: letters and marks that it does not read make no difference."""
    shared = [
        replace(clips[0], captions=("A dog barks.", "one more thing that is said at length")),
        replace(clips[1], captions=("a DOG barks",)),
        replace(clips[2], captions=("a dog , barks!",)),
    ]
    settings = SETTINGS.model_copy(update={"batch_size": batch_size})
    sounds, texts, clip_of_caption = embed(model, shared, audio, settings)
    np.testing.assert_array_equal(texts[[0, 0]], texts[[2, 3]])
    scores = score_retrieval(sounds, texts, clip_of_caption)
    # Of three clips with one caption, at most one is found by it; none of them finds its own first.
    assert np.count_nonzero(scores.text_to_audio.ranks[[0, 2, 3]] == 0) <= 1
    assert min(scores.audio_to_text.ranks[1:]) >= 2


def test_captions_without_a_word_are_left_out_and_counted(
    model: RetrievalModel, audio: AudioFolder, clips: list[Clip], caplog: pytest.LogCaptureFixture
) -> None:
    partly = [replace(clips[0], captions=("rain.", " ", "...")), replace(clips[1], captions=("",)), clips[2]]
    rows, scored = evaluate_retrieval(model, "trained", partly, audio, SETTINGS)
    assert [(clip.clip_id, len(clip.captions)) for clip in scored] == [("short", 1), ("long", 2)]
    table = RETRIEVAL_SCORES.from_rows(rows)
    assert set(table["blank_captions"].to_pylist()) == {3}
    assert set(table["clips"].to_pylist()) == {2}
    assert "3 captions without a word are left out" in caplog.text
    with pytest.raises(BlankCaptions, match="2 clips have a caption without a word, the first is short"):
        embed(model, partly, audio, SETTINGS)
    with pytest.raises(BlankCaptions, match="none of the 1 clips"):
        evaluate_retrieval(model, "trained", [replace(clips[0], captions=("!",))], audio, SETTINGS)


def test_a_clip_that_breaks_off_is_left_out_of_every_window(
    model: RetrievalModel, audio: AudioFolder, clips: list[Clip], tmp_path: Path
) -> None:
    for name in DURATIONS:
        data = (audio.store.root / f"{name}.flac").read_bytes()
        (tmp_path / f"{name}.flac").write_bytes(data[: len(data) * 2 // 3] if name == "long" else data)
    unreadable = UnreadableClips("clips", 3, 0.5)
    settings = SETTINGS.model_copy(update={"batch_size": 2})
    sounds, texts, clip_of_caption = embed(
        model,
        clips,
        AudioFolder(tmp_path),
        settings,
        unreadable,
        protocol=PROTOCOLS[ProtocolName.windows],
    )
    assert list(unreadable.problems) == ["long"]
    assert (len(sounds), len(texts), clip_of_caption.tolist()) == (2, 4, [0, 0, 1, 1])


def test_each_score_says_its_protocol_and_its_recordings(
    model: RetrievalModel, audio: AudioFolder, clips: list[Clip]
) -> None:
    cut = [replace(clip, recording="tape" if clip.clip_id != "long" else "") for clip in clips]
    for name, protocol in PROTOCOLS.items():
        rows, _ = evaluate_retrieval(model, "trained", cut, audio, SETTINGS, protocol=protocol)
        assert {row["protocol_name"] for row in rows} == {name.value}
        assert {row["recordings"] for row in rows} == {2}
        assert all(row["low"] <= row["value"] <= row["high"] for row in rows)
    alone = [replace(clip, recording="tape") for clip in clips]
    rows, _ = evaluate_retrieval(model, "trained", alone, audio, SETTINGS)
    # One recording says nothing of others.
    assert {(row["recordings"], row["low"], row["high"]) for row in rows} == {(1, None, None)}
