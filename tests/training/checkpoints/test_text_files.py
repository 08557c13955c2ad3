"""A checkpoint contains its tokenizer, so it means the same wherever it is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.training.small_models import SMALL_HTSAT, SPECIAL, small_bert
from wavcaps_training.checkpoints.checkpoint import (
    FORMAT_KEY,
    TEXT_FILES_KEY,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
    start_from,
)
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.models.text_encoder import TextModelError
from wavcaps_training.settings.model import ModelSettings, TextEncoderSettings
from wavcaps_training.settings.training import TrainingSettings

CAPTIONS = ("a dog barks", "rain falls on a tin roof", "Ein Zug fährt vorbei")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A BERT's folder of its own, so that a test may move or change it."""
    return Path(shutil.copytree(small_bert(), tmp_path / "bert"))


def settings_of(folder: Path) -> TrainingSettings:
    return TrainingSettings(
        model=ModelSettings(audio=SMALL_HTSAT, text=TextEncoderSettings(folder=str(folder)), joint_dim=32)
    )


@pytest.fixture
def path(tmp_path: Path, folder: Path) -> Path:
    torch.manual_seed(0)
    settings, path = settings_of(folder), tmp_path / "model.safetensors"
    save_checkpoint(path, RetrievalModel.build(settings), settings)
    return path


def reverse_vocabulary(folder: Path) -> None:
    """Gives every letter another id, as a tokenizer of another version might."""
    lines = (folder / "vocab.txt").read_text().split("\n")
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *lines[len(SPECIAL) :][::-1]]))


def change_files(path: Path, change: dict[str, str | None], **metadata: str) -> None:
    """Writes the checkpoint again with other text files; None removes one."""
    with safe_open(path, framework="pt") as file:
        said = dict(file.metadata())
    files = {**json.loads(said[TEXT_FILES_KEY]), **change}
    said[TEXT_FILES_KEY] = json.dumps({name: text for name, text in files.items() if text is not None})
    save_file(load_file(path), path, metadata={**said, **metadata})


@pytest.mark.parametrize("accident", ["the folder moved", "its tokenizer changed", "nothing"])
def test_embeddings_do_not_depend_on_the_folder(path: Path, folder: Path, accident: str) -> None:
    model = RetrievalModel.build(settings_of(folder)).eval()
    model.load_state_dict(load_file(path))
    wanted = model.embed_text(CAPTIONS)
    if accident == "the folder moved":
        folder.rename(folder.with_name("elsewhere"))
    elif accident == "its tokenizer changed":
        reverse_vocabulary(folder)
        assert not torch.equal(RetrievalModel.build(settings_of(folder)).eval().embed_text(CAPTIONS), wanted)
    found, _ = load_checkpoint(path)
    assert torch.equal(found.embed_text(CAPTIONS), wanted)


def test_fine_tuning_refuses_another_tokenizer_and_accepts_another_folder(path: Path, folder: Path) -> None:
    moved = folder.rename(folder.with_name("elsewhere"))
    settings = settings_of(moved)
    start_from(path, RetrievalModel.build(settings), settings)
    reverse_vocabulary(moved)
    with pytest.raises(CheckpointError, match="tokenizer is not the checkpoint's, and gives words other ids"):
        start_from(path, RetrievalModel.build(settings), settings)


def test_a_file_of_format_2_reads_its_folder(path: Path, folder: Path) -> None:
    change_files(
        path,
        {"config.json": None, "tokenizer.json": None, "tokenizer_config.json": None},
        **{FORMAT_KEY: "2"},
    )
    load_checkpoint(path)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(TextModelError, match="no BERT model in"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tokenizer.json", None, r"tokenizer\.json is missing or is not JSON"),
        ("tokenizer.json", "{", r"tokenizer\.json is missing or is not JSON"),
        ("config.json", "[]", r"config\.json is not plain data"),
        ("tokenizer_config.json", '{"auto_map": {"AutoTokenizer": "evil.Tokenizer"}}', "is not plain data"),
    ],
)
def test_damaged_files_are_named(path: Path, name: str, text: str | None, message: str) -> None:
    change_files(path, {name: text})
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


def test_only_known_files_are_written(path: Path, tmp_path: Path) -> None:
    change_files(path, {"../escaped.json": "{}", str(tmp_path / "absolute.json"): "{}"})
    load_checkpoint(path)
    assert not list(tmp_path.rglob("escaped.json"))
    assert not (tmp_path / "absolute.json").exists()
