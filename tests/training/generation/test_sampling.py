"""Sounds from texts: checked texts, candidates, files with provenance, and the nearest real clips."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch
from pydantic import ValidationError

from tests.support.full_disk import files_no_longer_than
from tests.training.generation.small_sounds import GENERATION, RETRIEVAL, TRAIN, Sounds, small_sounds
from wavcaps_assets.audio.generated import GENERATED, is_generated
from wavcaps_assets.audio.normalise import normalise
from wavcaps_assets.store.storage import Store, StoreError
from wavcaps_assets.tables import BENCHMARK_CLIPS
from wavcaps_training.checkpoints.checkpoint import save_checkpoint
from wavcaps_training.data import AudioFiles, clips_of
from wavcaps_training.data.latents import LatentFile, LatentsError
from wavcaps_training.defs.text_to_sound import as_markdown
from wavcaps_training.generation.asset import sounds_of
from wavcaps_training.generation.latents import make_latents
from wavcaps_training.generation.sampling import SamplingError, SoundMaker, TextError, checked
from wavcaps_training.generation.sounds import Origin, RealSounds, make_sounds
from wavcaps_training.models.building import build_model
from wavcaps_training.models.latent_diffusion import LatentDiffusion
from wavcaps_training.scoring.generation import _real
from wavcaps_training.scoring.scored_part import ScoredPart
from wavcaps_training.settings.generation import SamplingSettings
from wavcaps_training.tasks.building import build_task

TEXTS = ["A tone of 500 hertz.", "A low tone."]
FEW = SamplingSettings(steps=5, candidates=2, batch_size=3)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Sounds:
    return small_sounds(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="module")
def checkpoint(sounds: Sounds) -> Path:
    """A checkpoint of a model that was not trained."""
    settings = sounds.inputs.named_in(GENERATION)
    task = build_task(settings)
    task.read_inputs(sounds.inputs, clips_of(sounds.manifest, "train"))
    assert isinstance(task.model, LatentDiffusion)
    with torch.no_grad():
        # Fresh output layers are zero, and would make one sound of all texts.
        for parameter in task.model.unet.parameters():
            parameter.normal_(std=0.1)
        task.model.ema.load_state_dict(type(task.model.ema)(task.model.unet).state_dict())
    path = sounds.retrieval.with_name("generation.safetensors")
    save_checkpoint(path, task.model, settings)
    return path


@pytest.fixture(scope="module")
def maker(sounds: Sounds, checkpoint: Path) -> SoundMaker:
    return SoundMaker(checkpoint, sounds.retrieval)


@pytest.fixture(scope="module")
def origin(sounds: Sounds) -> Origin:
    clips = {clip.clip_id: clip for clip in clips_of(sounds.manifest, "train")}
    return Origin("audioldm/test", "htsat_bert/test", LatentFile(sounds.inputs.latents), clips)


def test_sounds_are_files_that_say_how_they_were_made(
    maker: SoundMaker, origin: Origin, tmp_path: Path
) -> None:
    table = make_sounds(TEXTS, maker, origin, Store(tmp_path), FEW)
    assert table["text"].to_pylist() == TEXTS
    for row in table.to_pylist():
        path = tmp_path / row["audio_path"]
        with soundfile.SoundFile(path) as file:
            assert (file.samplerate, file.channels, file.frames) == (16_000, 1, round(0.64 * 16_000))
            said = json.loads(file.comment.removeprefix(f"{GENERATED}. "))
        assert is_generated(path)
        assert {name: said[name] for name in ("text", "seed", "steps", "guidance", "candidate")} == {
            name: row[name] for name in ("text", "seed", "steps", "guidance", "candidate")
        }
        assert said["weights_sha256"] == maker.weights_sha256
        assert row["nearest_clip_id"] in origin.clips
        # As a clip, it would have the hash that the check of manifests looks for.
        facts = normalise(path, tmp_path / "as_a_clip.flac")
        assert Path(row["audio_path"]).stem == row["samples_sha256"] == facts.samples_sha256
    again = make_sounds(TEXTS[1:], maker, origin, Store(tmp_path / "alone"), FEW)
    together = soundfile.read(tmp_path / table["audio_path"][1].as_py())[0]
    alone = soundfile.read(tmp_path / "alone" / again["audio_path"][0].as_py())[0]
    # Batches of other sizes round differently, which random weights amplify.
    assert np.corrcoef(alone, together)[0, 1] > 0.98


def test_the_candidate_most_similar_to_its_text_is_kept(
    maker: SoundMaker, origin: Origin, tmp_path: Path
) -> None:
    found = list(maker.candidates(TEXTS, FEW))
    assert [(candidate.text, candidate.number) for candidate in found] == [
        (text, number) for text in TEXTS for number in range(2)
    ]
    assert not np.array_equal(found[0].samples, found[1].samples)
    vectors = maker.encoder.captions(TEXTS)
    table = make_sounds(TEXTS, maker, origin, Store(tmp_path), FEW)
    for place, row in enumerate(table.to_pylist()):
        of_text = found[2 * place : 2 * place + 2]
        cosines = [float(candidate.vector @ vectors[place]) for candidate in of_text]
        assert row["candidate"] == int(np.argmax(cosines))
        assert row["similarity"] == pytest.approx(max(cosines))


def test_the_nearest_real_clip_is_that_of_the_same_audio(origin: Origin) -> None:
    vector = origin.latents.audio("freesound-5").numpy()
    nearest = RealSounds(origin).nearest(vector)
    assert nearest["nearest_clip_id"] == "freesound-5"
    assert nearest["nearest_similarity"] == pytest.approx(1, abs=1e-5)


def test_a_training_manifest_of_other_clips_is_refused(origin: Origin) -> None:
    with pytest.raises(LatentsError, match="none of the 12 clips with latents is in the training manifest"):
        RealSounds(replace(origin, clips={}))


def test_latents_of_other_clips_are_no_training_data(
    sounds: Sounds, maker: SoundMaker, origin: Origin, tmp_path: Path
) -> None:
    """They were made again since, of what the model did not learn from."""
    fewer = clips_of(sounds.manifest, "train")[1:]
    models = sounds.inputs.autoencoder, sounds.retrieval
    make_latents(fewer, sounds.audio, models, tmp_path / "latents.safetensors")
    other = replace(origin, latents=LatentFile(tmp_path / "latents.safetensors"))
    with pytest.raises(LatentsError, match=r"other clips or captions .* train audioldm/test again"):
        make_sounds(TEXTS, maker, other, Store(tmp_path), FEW)


def test_a_clip_that_chose_the_epoch_is_no_nearest_clip(
    sounds: Sounds, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, name = sounds.retrieval.parent, sounds.retrieval.name
    made_of = {"latents_path": "latents.safetensors", "conditioned_by": "a/b", "conditioned_by_path": name}
    asked: list[Origin] = []

    def keep(texts: list[str], maker: SoundMaker, origin: Origin, *others: object) -> pa.Table:
        asked.append(origin)
        return pa.table({})

    monkeypatch.setattr("wavcaps_training.generation.asset.make_sounds", keep)
    named = ("audioldm/test", checkpoint.name)
    sounds_of(TEXTS, named, (made_of, sounds.manifest), (Store(folder), "cpu"), FEW)
    assert set(asked[0].clips) == {f"freesound-{number}" for number in range(TRAIN)}


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ([], "there is no text"),
        (["A dog.", "  \n"], "text 2 of 2 is empty"),
        (["?!"], "text 1 of 1 is empty or has no word"),
        (["—«…»"], "text 1 of 1 is empty or has no word"),
        (["\N{DOG FACE}"], "text 1 of 1 is empty or has no word"),
        (["\u200b\u202e"], "text 1 of 1 is empty or has no word"),
        (["a dog\0 barks"], r"text 1 of 1 has the control character U\+0000"),
        (["a dog \ud800 barks"], r"text 1 of 1 has the control character U\+D800"),
        (["dog " * 2500], r"text 1 of 1 has 9,999 characters, and at most 500"),
    ],
)
def test_texts_without_a_sound_are_refused(texts: list[str], problem: str) -> None:
    with pytest.raises(TextError, match=problem):
        checked(texts)


def test_another_language_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    texts = ["Ein Hund bellt laut in der Ferne und ein Auto fährt vorbei.", "A dog barks in the distance."]
    assert checked([*texts, texts[0]]) == texts
    # Of other letters, less is enough, and there may be no spaces.
    checked(["\u72d7\u5728\u53eb\uff0c\u96e8\u5728\u4e0b", "440 Hz"])
    assert [record.args[2] for record in caplog.records if record.args] == ["de", "zh"]  # type: ignore[index]


def test_a_text_whose_end_is_not_read_is_warned_of(
    maker: SoundMaker, caplog: pytest.LogCaptureFixture
) -> None:
    # This text model reads letters: these are 28 tokens, and [CLS] and [SEP] make them 30.
    whole = "d o g s b a r k i n g o n a r o o f b a r k i n g s o n"
    vectors = maker.encoder.captions([whole, f"{whole} and rain on a roof"])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
    list(maker.candidates([whole, f"{whole} and rain on a roof"], FEW))
    (record,) = caplog.records
    assert record.getMessage().startswith("text 2 (d o g")
    assert "longer than the 30 tokens" in record.getMessage()


def test_another_retrieval_checkpoint_is_refused(sounds: Sounds, checkpoint: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, build_model(RETRIEVAL), RETRIEVAL)
    with pytest.raises(SamplingError, match="another retrieval checkpoint"):
        SoundMaker(checkpoint, other)


@pytest.mark.parametrize("missing", [10_000, 10])
def test_a_full_disk_leaves_what_is_there(
    maker: SoundMaker, origin: Origin, tmp_path: Path, missing: int
) -> None:
    """Of the last bytes of a FLAC file, libsndfile itself does not say that they are not written."""
    table = make_sounds(TEXTS[:1], maker, origin, Store(tmp_path), FEW)
    path = tmp_path / table["audio_path"][0].as_py()
    before = path.read_bytes()
    again = replace(origin, checkpoint="other/test")
    with (
        files_no_longer_than(max(len(before) - missing, 100)),
        pytest.raises(SamplingError, match="free some space"),
    ):
        make_sounds(TEXTS[:1], maker, again, Store(tmp_path), FEW)
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]
    assert path.read_bytes() == before


def test_a_store_without_space_leaves_nothing_half_written(
    maker: SoundMaker, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk for temporary files has space, and the store's has none."""
    copyfile = shutil.copyfile

    def without_space(here: Path, target: Path) -> None:
        with files_no_longer_than(5_000):
            copyfile(here, target)

    monkeypatch.setattr(shutil, "copyfile", without_space)
    with pytest.raises(StoreError, match="free some space"):
        make_sounds(TEXTS[:1], maker, origin, Store(tmp_path), FEW)
    assert not [found for found in tmp_path.rglob("*") if found.is_file()]


def test_a_sound_that_is_not_finite_is_refused(maker: SoundMaker) -> None:
    scale = maker.model.scale.clone()
    maker.model.scale.fill_(torch.nan)
    try:
        with pytest.raises(SamplingError, match="train the model for longer"):
            list(maker.candidates(TEXTS, FEW))
    finally:
        maker.model.scale.copy_(scale)


@pytest.mark.parametrize("steps", [1, 4, 600, 1000])
def test_a_number_of_steps_that_begins_in_the_middle_is_refused(maker: SoundMaker, steps: int) -> None:
    with pytest.raises(SamplingError, match="choose a number of steps that divides 1000"):
        list(maker.candidates(TEXTS, SamplingSettings(steps=steps)))


def test_a_sound_that_16_bits_hold_nothing_of_is_refused(maker: SoundMaker) -> None:
    waveform = np.full(10_240, 1e-6, np.float32)
    with pytest.raises(SamplingError, match="silent"):
        maker._candidate("A tone.", 0, waveform, np.zeros(16, np.float32))


def test_markup_in_a_text_stays_in_its_cell() -> None:
    row = {"text": "a|b <b>", "similarity": 0.5, "nearest_caption": "c\n| d", "nearest_similarity": 0.25}
    line = as_markdown(pa.Table.from_pylist([row])).splitlines()[2:]
    assert len(line) == 1 and line[0].replace("\\|", "").count("|") == 5 and "<b>" not in line[0]


def test_a_seed_that_the_table_cannot_hold_is_refused() -> None:
    assert SamplingSettings(seed=2**63 - 1).seed == 2**63 - 1
    with pytest.raises(ValidationError, match="less than 9223372036854775808"):
        SamplingSettings(seed=2**63)


def test_clips_that_cannot_be_scored_are_left_out_before_sampling(
    maker: SoundMaker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Their captions have no word, or the part in the middle is silent."""
    tone = np.sin(np.arange(32_000)) / 3
    soundfile.write(tmp_path / "tone.flac", tone, 16_000)
    tone[8_000:24_000] = 0
    soundfile.write(tmp_path / "pause.flac", tone, 16_000)
    captions = {
        "tone-1": ["...", " A  tone. "],
        "tone-2": ["A tone."],
        "pause-1": ["A pause."],
        "tone-3": ["?!"],
        "tone-4": [],
        "tone-5": ["tone " * 200],
    }
    row = {"benchmark": "demo_sounds", "version": "1", "split": "test", "duration_s": 2.0}
    clips = BENCHMARK_CLIPS.from_rows(
        [
            {**row, "clip_id": name, "file": name, "captions": texts, "audio_path": f"{name[:-2]}.flac"}
            for name, texts in captions.items()
        ]
    )
    real = _real(ScoredPart("demo_sounds", "1", clips, clips, None), AudioFiles(Store(tmp_path)), maker)
    assert real.captions == {"tone-1": "A tone.", "tone-2": "A tone."}
    assert [sound.clip_id for sound in real.sounds] == ["tone-1", "tone-2"]
    assert "pause-1" in caplog.text
