"""Checkpoints of both models: whole or refused, and never in the place of a good one when broken."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.support.full_disk import files_no_longer_than
from tests.training.small_models import SMALL_HTSAT
from wavcaps_assets.store.storage import StoreError
from wavcaps_training.checkpoints import checkpoint
from wavcaps_training.checkpoints.checkpoint import (
    FORMAT_KEY,
    SETTINGS_KEY,
    CheckpointError,
    load_checkpoint,
    read_origin,
    read_weights,
    save_checkpoint,
    start_from,
)
from wavcaps_training.checkpoints.code_version import folder_sha256, sources_sha256
from wavcaps_training.checkpoints.header import WEIGHTS_KEY
from wavcaps_training.models.captioner import Captioner
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.settings.captioner import (
    BartSettings,
    CaptionerSettings,
    CaptionerTrainingSettings,
    GenerationSettings,
)
from wavcaps_training.settings.model import ModelSettings, TextEncoderSettings
from wavcaps_training.settings.training import DEMO, TrainingSettings

BART = BartSettings(width=16, encoder_layers=1, decoder_layers=1, heads=2, feed_forward=32, max_positions=256)
CAPTIONING = CaptionerTrainingSettings(model=CaptionerSettings(audio=SMALL_HTSAT, bart=BART))
RETRIEVAL = TrainingSettings(
    model=ModelSettings(audio=SMALL_HTSAT, text=TextEncoderSettings(frozen=True), joint_dim=32)
)
TIED = (
    "decoder.lm_head.weight",
    "decoder.model.decoder.embed_tokens.weight",
    "decoder.model.encoder.embed_tokens.weight",
    "decoder.model.shared.weight",
)
MANIFEST = "5f" * 32


def filled(model: nn.Module) -> nn.Module:
    """A model of which no two weights are alike, so that none can be taken for another."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture(scope="module")
def captioner() -> nn.Module:
    return filled(Captioner.build(CAPTIONING.model))


@pytest.fixture(scope="module")
def retrieval() -> nn.Module:
    return filled(RetrievalModel.build(RETRIEVAL, pretrained_text=False))


@pytest.fixture
def captioning_file(tmp_path: Path, captioner: nn.Module) -> Path:
    path = tmp_path / "captioner.safetensors"
    save_checkpoint(path, captioner, CAPTIONING, MANIFEST)
    return path


@pytest.fixture
def retrieval_file(tmp_path: Path, retrieval: nn.Module) -> Path:
    path = tmp_path / "retrieval.safetensors"
    save_checkpoint(path, retrieval, RETRIEVAL, MANIFEST)
    return path


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def rewrite(path: Path, change: Callable[[dict[str, Tensor]], object], without: tuple[str, ...] = ()) -> None:
    """Writes a checkpoint again with other weights, as another program would: without their hash."""
    weights = load_file(path)
    change(weights)
    kept = {k: v for k, v in metadata(path).items() if k not in (WEIGHTS_KEY, *without)}
    save_file(weights, path, metadata=kept)


def same(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in found)


def test_a_captioner_comes_back_with_its_shared_embeddings(
    captioning_file: Path, captioner: nn.Module
) -> None:
    model, settings = load_checkpoint(captioning_file, task="captioning")
    assert settings == CAPTIONING
    assert same(model.state_dict(), captioner.state_dict())
    assert len({model.state_dict()[name].data_ptr() for name in TIED}) == 1
    stored = load_file(captioning_file)
    assert len(stored.keys() & set(TIED)) == 1
    assert not model.training


@pytest.mark.slow
def test_a_retrieval_model_comes_back(retrieval_file: Path, retrieval: nn.Module) -> None:
    model, settings = load_checkpoint(retrieval_file)
    assert settings == RETRIEVAL
    assert same(model.state_dict(), retrieval.state_dict())


def test_a_checkpoint_says_where_it_came_from(captioning_file: Path, tmp_path: Path) -> None:
    origin = read_origin(captioning_file)
    assert origin.settings == CAPTIONING
    assert (origin.format, origin.manifest_sha256) == (3, MANIFEST)
    assert origin.sources_sha256 == sources_sha256()
    assert origin.version
    unknown = tmp_path / "unknown.safetensors"
    save_checkpoint(unknown, load_checkpoint(captioning_file, task="captioning")[0], CAPTIONING)
    again = read_origin(unknown)
    assert again.manifest_sha256 is None
    assert again.weights_sha256 == origin.weights_sha256


def test_the_code_version_changes_with_the_code_and_nothing_else(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "a.py").write_bytes(b"x = 1\n" if name == "one" else b"x = 1\r\n")
        (tmp_path / name / "inner" / "b.py").write_bytes(b"y = 2\n")
    (tmp_path / "other" / "notes.txt").write_text("not code")
    one, other = folder_sha256(tmp_path / "one"), folder_sha256(tmp_path / "other")
    assert one == other
    (tmp_path / "other" / "inner" / "b.py").rename(tmp_path / "other" / "b.py")
    assert folder_sha256(tmp_path / "other") != one


@pytest.mark.slow
def test_a_checkpoint_of_before_is_read(retrieval_file: Path, retrieval: nn.Module) -> None:
    """Format 1 had the settings alone, which did not say what they were for."""
    old = RETRIEVAL.model_dump_json(exclude={"task"})
    save_file(load_file(retrieval_file), retrieval_file, metadata={SETTINGS_KEY: old})
    origin = read_origin(retrieval_file)
    assert (origin.format, origin.weights_sha256, origin.version) == (1, None, None)
    model, settings = load_checkpoint(retrieval_file)
    assert settings == RETRIEVAL
    assert same(model.state_dict(), retrieval.state_dict())


def test_the_other_model_is_refused_by_its_task(captioning_file: Path, retrieval_file: Path) -> None:
    with pytest.raises(CheckpointError, match="of captioning, and a checkpoint of retrieval is needed"):
        load_checkpoint(captioning_file)
    with pytest.raises(CheckpointError, match="of retrieval, and a checkpoint of captioning is needed"):
        load_checkpoint(retrieval_file, task="captioning")
    with pytest.raises(CheckpointError, match="of retrieval, and training for captioning cannot start"):
        start_from(retrieval_file, Captioner.build(CAPTIONING.model), CAPTIONING)


def test_every_misfit_is_named_and_the_model_left_as_it_was(captioning_file: Path) -> None:
    def spoil(weights: dict[str, Tensor]) -> None:
        del weights["enc_to_dec_proj.bias"], weights["decoder.model.encoder.layers.0.fc1.weight"]
        weights["queue"] = torch.zeros(1)
        weights["enc_to_dec_proj.weight"] = torch.zeros(3, 4)
        weights["decoder.model.encoder.layers.0.fc1.bias"][2] = torch.nan
        weights["encoder.audio_enc.bn0.running_var"][0] = torch.inf

    rewrite(captioning_file, spoil)
    model = filled(Captioner.build(CAPTIONING.model))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError) as raised:
        start_from(captioning_file, model, CAPTIONING)
    message = str(raised.value)
    for part in (
        str(captioning_file),
        "missing: decoder.model.encoder.layers.0.fc1.weight, enc_to_dec_proj.bias;",
        "unknown: queue;",
        "of another shape: enc_to_dec_proj.weight (3, 4) instead of (16, 32);",
        "with NaN: decoder.model.encoder.layers.0.fc1.bias;",
        "with infinity: encoder.audio_enc.bn0.running_var",
    ):
        assert part in message
    assert same(model.state_dict(), before)


def test_shared_embeddings_that_differ_are_refused(captioning_file: Path) -> None:
    def untie(weights: dict[str, Tensor]) -> None:
        (stored,) = weights.keys() & set(TIED)
        other = next(name for name in TIED if name != stored)
        weights[other] = weights[stored] + 1

    rewrite(captioning_file, untie)
    with pytest.raises(CheckpointError, match=r"different from each other.*: decoder\.model\.shared\.weight"):
        load_checkpoint(captioning_file, task="captioning")


def test_broken_weights_are_not_saved_over_good_ones(captioning_file: Path) -> None:
    good = captioning_file.read_bytes()
    model, _ = load_checkpoint(captioning_file, task="captioning")
    with torch.no_grad():
        model.enc_to_dec_proj.bias[1] = torch.nan
        model.enc_to_dec_proj.weight[0, 0] = -torch.inf
    with pytest.raises(
        CheckpointError, match=r"not finite: enc_to_dec_proj\.weight, enc_to_dec_proj\.bias; .*not written"
    ):
        save_checkpoint(captioning_file, model, CAPTIONING)
    assert captioning_file.read_bytes() == good


def test_a_file_that_cannot_be_written_to_its_end_leaves_the_old_one(
    captioning_file: Path, captioner: nn.Module
) -> None:
    good = captioning_file.read_bytes()
    with (
        pytest.raises(StoreError, match=r"captioner\.safetensors.*File too large"),
        files_no_longer_than(len(good) // 2),
    ):
        save_checkpoint(captioning_file, captioner, CAPTIONING)
    assert captioning_file.read_bytes() == good
    assert list(captioning_file.parent.iterdir()) == [captioning_file]


def test_a_file_that_is_not_whole_is_refused(captioning_file: Path) -> None:
    whole = captioning_file.read_bytes()
    for length in (0, 4, 200, len(whole) // 2, len(whole) - 1):
        captioning_file.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="not a whole safetensors file"):
            load_checkpoint(captioning_file, task="captioning")
    damaged = bytearray(whole)
    damaged[-1000] ^= 1
    captioning_file.write_bytes(damaged)
    with pytest.raises(CheckpointError, match="is damaged: its weights do not have the hash"):
        load_checkpoint(captioning_file, task="captioning")


class Attack:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return open, (str(self.marker), "w")


@pytest.mark.parametrize("write", ["torch", "torch before 1.6", "pickle"])
def test_a_pickle_by_another_name_runs_nothing(tmp_path: Path, write: str) -> None:
    path, marker = tmp_path / "weights.safetensors", tmp_path / "marker"
    if write == "pickle":
        path.write_bytes(pickle.dumps(Attack(marker)))
    else:
        torch.save({"model": Attack(marker)}, path, _use_new_zipfile_serialization=write == "torch")
    with pytest.raises(CheckpointError, match=r"may run code when it is read, and was not opened"):
        load_checkpoint(path)
    assert not marker.exists()


def test_what_is_not_ours_is_said(tmp_path: Path, captioning_file: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint .*materialize its asset first"):
        read_weights(tmp_path / "absent.safetensors")
    said = metadata(captioning_file)
    for change, message in (
        ({FORMAT_KEY: "4"}, "has the format 4.*written by a later version.*use that version"),
        ({SETTINGS_KEY: '{"task": "captioning", "colour": 1}'}, "settings that this version does not know"),
        ({SETTINGS_KEY: '{"task": "translation"}'}, "settings that this version does not know.*translation"),
        ({SETTINGS_KEY: "not JSON"}, "settings that this version does not know"),
    ):
        other = tmp_path / "other.safetensors"
        save_file({"a": torch.zeros(1)}, other, metadata={**said, **change})
        with pytest.raises(CheckpointError, match=f"(?s){message}"):
            read_origin(other)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(1)}, foreign)
    with pytest.raises(CheckpointError, match="not written by this project"):
        read_origin(foreign)


def test_fine_tuning_begins_with_a_model_of_the_same_settings(
    captioning_file: Path, captioner: nn.Module
) -> None:
    softer = CAPTIONING.model.model_copy(
        update={"label_smoothing": 0.1, "generation": GenerationSettings(beams=1)}
    )
    settings = CAPTIONING.model_copy(update={"model": softer, "learning_rate": 5e-6, "epochs": 20})
    model = Captioner.build(settings.model)
    assert start_from(captioning_file, model, settings).manifest_sha256 == MANIFEST
    assert same(model.state_dict(), captioner.state_dict())


def test_weights_that_fit_but_mean_something_else_are_refused(captioning_file: Path) -> None:
    """Another range of the mel bins changes no shape."""
    front_end = SMALL_HTSAT.front_end.model_copy(update={"f_max": 8_000.0})
    audio = SMALL_HTSAT.model_copy(update={"front_end": front_end})
    settings = CAPTIONING.model_copy(update={"model": CAPTIONING.model.model_copy(update={"audio": audio})})
    with pytest.raises(
        CheckpointError,
        match=r"model\.audio\.front_end\.f_max is 14000\.0 in the checkpoint and 8000\.0 in the run",
    ):
        start_from(captioning_file, Captioner.build(settings.model), settings)


def test_a_checkpoint_of_the_demo_is_as_it_was() -> None:
    """Old settings, which did not say their task, are those of retrieval."""
    old = DEMO.model_dump_json(exclude={"task"})
    assert checkpoint.SETTINGS.validate_json(old) == DEMO
