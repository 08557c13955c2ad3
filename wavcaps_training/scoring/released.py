"""Released checkpoints in the store, next to those that were trained here."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from wavcaps_assets.store.storage import Store
from wavcaps_training.checkpoints.checkpoint import read_origin
from wavcaps_training.checkpoints.convert import convert_released
from wavcaps_training.checkpoints.released import read_released
from wavcaps_training.checkpoints.safe_files import ReleasedCheckpointError
from wavcaps_training.paper.experiments import changed
from wavcaps_training.paper.released import RELEASED_GROUP, SOURCE, ReleasedModel
from wavcaps_training.settings.captioner import AnyTrainingSettings
from wavcaps_training.settings.released import VARIABLE
from wavcaps_training.tables import CHECKPOINT

NOT_KNOWN = "not known"
SHOWN_FILES = 10
# Folders with the tokenizers, next to the released files: the names of the models that they are of.
TEXT_FOLDERS = {"retrieval": "bert-base-uncased", "captioning": "bart-base"}


def released_file(released: ReleasedModel, folder: str, name: str = "") -> Path:
    """The file of a released checkpoint.

    Args:
        folder: of the released files; empty: none is named.
        name: of the file, if it is not that of the release.

    Raises:
        ReleasedCheckpointError: it is not there; says where it was looked for, and where to get it.
    """
    wanted = name or released.file
    get_it = f"get {wanted} from {SOURCE} (https://github.com/XinhaoMei/WavCaps)"
    if not folder:
        raise ReleasedCheckpointError(
            f"no folder of released checkpoints is named: {get_it}, and set {VARIABLE} to its folder, or "
            "`folder` in the launchpad"
        )
    path = Path(folder) / wanted
    if not path.is_file():
        there = sorted(one.name for one in Path(folder).glob("*.pt")) if Path(folder).is_dir() else []
        names = ", ".join(there[:SHOWN_FILES]) or "no .pt file"
        raise ReleasedCheckpointError(
            f"there is no {wanted} in {folder}, which has {names}: {get_it}; if yours has another name, give "
            "it as `file` in the launchpad"
        )
    return path


def text_folder_beside(file: Path, task: str) -> Path | None:
    """The folder of the tokenizer that lies beside a released file; None: there is none."""
    folder = file.parent / TEXT_FOLDERS[task]
    return folder if folder.is_dir() else None


def register_released(
    released: ReleasedModel,
    file: Path,
    store: Store,
    text_folder: Path | None = None,
    changes: Mapping[str, Any] | None = None,
) -> pa.Table:
    """Copies a released checkpoint into the store, as safetensors with its settings and its tokenizer.

    Args:
        released: which one it is.
        file: the file as it was released.
        store: where the copy goes.
        text_folder: BERT's or BART's configuration and tokenizer; None: those in the folder
            `bert-base-uncased` or `bart-base` beside the file, else, for BERT, as for `convert_released`.
        changes: settings of the model that differ from the released ones.

    Returns:
        `tables.CHECKPOINT`, one row. What is only known of own trainings is empty, or 0.

    Raises:
        ReleasedCheckpointError: the file is of another model, or damaged.
        TextModelError, CheckpointError, StoreError: as `convert_released`.
    """
    settings = changed(released.settings(), changes or {})
    folder = text_folder or text_folder_beside(file, settings.task)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "weights.safetensors"
        read = read_released(file)
        converted = convert_released(read, copy, settings, folder, released.setting)
        sha256 = read_origin(copy).weights_sha256 or ""
        # The same weights have the same place; a row that is replaced keeps its own.
        path = f"checkpoints/{RELEASED_GROUP}/{released.setting}/{sha256[:16]}/{copy.name}"
        with store.writing(path) as temporary:
            shutil.copyfile(copy, temporary)
    row = released_row(settings, path, converted.parameters, converted.found.epoch or 0)
    return CHECKPOINT.from_rows([{"model": RELEASED_GROUP, "setting": released.setting, **row}])


def released_row(
    settings: AnyTrainingSettings, path: str, parameters: int, best_epoch: int = 0
) -> dict[str, Any]:
    """The columns of `tables.CHECKPOINT` of weights that were not trained here. The unknown is empty, or 0.

    Args:
        settings: of the model.
        path: of its weights, relative to the store.
        parameters: how many it has.
        best_epoch: after which it was saved, if that is known.
    """
    nothing = ("untrained_weights_path", "tensorboard_path", "manifest_sha256")
    return {
        "weights_path": path,
        "settings_json": settings.model_dump_json(),
        "parameters": parameters,
        "best_epoch": best_epoch,
        "device": NOT_KNOWN,
        "learning_curve": [],
        **dict.fromkeys(nothing, ""),
        **dict.fromkeys(("trainable_parameters", "train_clips", "validation_clips", "devices"), 0),
        **dict.fromkeys(("seconds", "flops_per_clip"), 0.0),
    }
