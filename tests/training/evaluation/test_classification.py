"""Zero-shot classification from audio files and class names, with a small model with random weights."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch

from tests.training.small_models import SMALL_HTSAT, small_bert
from wavcaps_assets.benchmark_sets.classes import Classes, classes_named
from wavcaps_assets.tables import BENCHMARK_CLIPS
from wavcaps_training.data import AudioFolder, AudioReadError
from wavcaps_training.evaluation.classification import (
    Classified,
    Sounds,
    classify,
    labelled_clips,
)
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.evaluation.prompts import protocols_for
from wavcaps_training.evaluation.ranking import BrokenEmbeddings
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.settings.model import ModelSettings, Pooling, TextEncoderSettings
from wavcaps_training.settings.training import ClipSettings, Padding, TrainingSettings

LABELS = ("dog_bark", "siren", "drilling")
SETTINGS = TrainingSettings(
    model=ModelSettings(
        audio=SMALL_HTSAT,
        text=TextEncoderSettings(folder=str(small_bert()), pooling=Pooling.MEAN, frozen=True),
        joint_dim=16,
    ),
    clip=ClipSettings(seconds=1.0, padding=Padding.BATCH),
    batch_size=4,
    max_unreadable_share=0.2,
)


def listed(rows: list[dict[str, Any]]) -> pa.Table:
    blank = {"benchmark": "urbansound8k", "version": "1", "split": "none", "captions": []}
    return BENCHMARK_CLIPS.from_rows([{**blank, "file": row["clip_id"], **row} for row in rows])


@pytest.fixture
def clips(tmp_path: Path) -> pa.Table:
    """Nine clips of noise and tones, of three recordings."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(9):
        name, rate = f"{number}.wav", 32_000
        times = np.arange(int(rate * (0.4 + 0.1 * number))) / rate
        sound = [generator.normal(size=len(times)), np.sin(3000 * times), np.sin(500 * times) ** 9][
            number % 3
        ]
        soundfile.write(tmp_path / name, 0.1 * np.clip(sound, -5, 5), rate)
        row = {"clip_id": f"urbansound8k-{number}", "audio_path": name, "label": LABELS[number % 3]}
        rows.append({**row, "fold": 1 + number % 2, "freesound_id": str(number // 3)})
    return listed(rows)


@pytest.fixture(scope="module")
def model() -> RetrievalModel:
    torch.manual_seed(0)
    return RetrievalModel.build(SETTINGS).eval()


def classified(model: RetrievalModel, clips: pa.Table, folder: Path) -> list[Classified]:
    classes = classes_named(LABELS, "test")
    protocols = protocols_for("urbansound8k")
    return classify(
        model, SETTINGS, labelled_clips(clips, classes), classes, Sounds(AudioFolder(folder)), protocols
    )


def test_answers_are_those_of_single_clips(model: RetrievalModel, clips: pa.Table, tmp_path: Path) -> None:
    """Compared with the released code's way: each clip alone, padded with zeros, against all names."""
    found = {one.protocol.name.value: one for one in classified(model, clips, tmp_path)}
    assert list(found) == ["paper", "released", "prompt"]
    wanted = []
    for row in clips.to_pylist():
        samples, _ = soundfile.read(tmp_path / row["audio_path"], dtype="float32")
        padded = np.pad(samples, (0, 32_000))[:32_000]
        with torch.no_grad():
            names = model.embed_text(["dog bark", "drilling", "siren"])
            similar = model.embed_audio(torch.from_numpy(padded)[None]) @ names.T
        wanted.append(int(similar.argmax()))
    assert found["released"].answers.answered.tolist() == wanted
    overall = found["released"].accuracies[0]
    truth = [("dog_bark", "drilling", "siren").index(label) for label in clips["label"].to_pylist()]
    assert overall.value == pytest.approx(100 * np.mean(np.array(wanted) == truth))
    assert (overall.clips, overall.recordings) == (9, 3)
    assert [row.group for row in found["paper"].accuracies if row.scope == "class"] == [
        "dog_bark",
        "drilling",
        "siren",
    ]


def test_clips_that_cannot_be_scored_are_counted(
    model: RetrievalModel, clips: pa.Table, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = clips.to_pylist()
    rows[2]["label"], rows[3]["label"], rows[4]["audio_path"] = "Insects (flying)", "DRILLING ", None
    (tmp_path / "7.wav").write_bytes(b"no audio")
    classes = classes_named(LABELS, "test")
    with caplog.at_level(logging.WARNING):
        labelled = labelled_clips(listed(rows), classes)
    assert (labelled.missing, labelled.unknown) == (1, ["urbansound8k-2"])
    assert "1 clips have a label that is no class, and are left out: urbansound8k-2" in caplog.text
    assert classes.labels[labelled.truth[2]] == "drilling"
    (one, *_) = classified(model, listed(rows), tmp_path)
    assert list(one.unreadable) == ["urbansound8k-7"]
    assert (one.accuracies[0].clips, len(one.answers.truth)) == (6, 6)


def test_too_many_unreadable_clips_are_an_error(
    model: RetrievalModel, clips: pa.Table, tmp_path: Path
) -> None:
    for number in range(4):
        (tmp_path / f"{number}.wav").unlink()
    with pytest.raises(AudioReadError, match="of the 9 clips of the benchmark cannot be read"):
        classified(model, clips, tmp_path)


def test_nothing_to_classify_says_why(clips: pa.Table) -> None:
    rows = [{**row, "audio_path": None} for row in clips.to_pylist()]
    with pytest.raises(NothingToScore, match="none of 9 listed clips can be classified: 9 have no audio"):
        labelled_clips(listed(rows), classes_named(LABELS, "test"))
    rows = [{**row, "label": None} for row in clips.to_pylist()]
    with pytest.raises(NothingToScore, match="9 have a label that is no class"):
        labelled_clips(listed(rows), Classes(("cat", "dog")))


def test_a_broken_model_is_an_error_that_names_a_clip(clips: pa.Table, tmp_path: Path) -> None:
    broken = RetrievalModel.build(SETTINGS).eval()
    with torch.no_grad():
        broken.audio_proj.get_parameter("0.weight")[0, 0] = float("nan")
    with pytest.raises(BrokenEmbeddings, match="urbansound8k-0"):
        classified(broken, clips, tmp_path)


def test_classes_without_clips_remain_answers(model: RetrievalModel, clips: pa.Table, tmp_path: Path) -> None:
    """A benchmark of which only some classes are here must not become easier."""
    sirens = clips.filter(pa.array([label == "siren" for label in clips["label"].to_pylist()]))
    (alone, *_) = classified(model, sirens, tmp_path)
    (whole, *_) = classified(model, clips, tmp_path)
    of_sirens = next(row for row in whole.accuracies if (row.scope, row.group) == ("class", "siren"))
    assert alone.accuracies[0].value == of_sirens.value
    assert alone.accuracies[0].clips == of_sirens.clips == 3
