"""AudioLDM's autoencoder in the store, from the file that its authors published."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pyarrow as pa

from wavcaps_assets.store.storage import Store
from wavcaps_training.checkpoints.audioldm import load_audioldm
from wavcaps_training.checkpoints.checkpoint import read_origin, save_checkpoint
from wavcaps_training.checkpoints.safe_files import ReleasedCheckpointError
from wavcaps_training.models.sound_autoencoder import SoundAutoencoder
from wavcaps_training.paper.experiments import AUDIOLDM_AUTOENCODER
from wavcaps_training.scoring.released import released_row
from wavcaps_training.settings.generation import AutoencoderTrainingSettings
from wavcaps_training.settings.released import VARIABLE
from wavcaps_training.tables import CHECKPOINT

SOURCE = "https://zenodo.org/records/7600541"
# The names under which AudioLDM's checkpoints were published; all have the same autoencoder.
NAMES = ("audioldm-s-full", "audioldm-s-full-v2", "audioldm-m-full", "audioldm-l-full")
ENDINGS = ("", ".ckpt", ".pt", ".pth")


def audioldm_file(folder: str, name: str = "") -> Path:
    """The released file.

    Args:
        folder: of released checkpoints; empty: none is named.
        name: of the file; empty: one of those that it was published under.

    Raises:
        ReleasedCheckpointError: it is not there; says where to get it.
    """
    get_it = f"get audioldm-s-full from {SOURCE}"
    if not folder:
        raise ReleasedCheckpointError(
            f"no folder of released checkpoints is named: {get_it}, and set {VARIABLE} to its folder, or "
            "`folder` in the launchpad"
        )
    names = (name,) if name else tuple(stem + ending for stem in NAMES for ending in ENDINGS)
    found = next((Path(folder) / one for one in names if (Path(folder) / one).is_file()), None)
    if found is None:
        wanted = name or f"{', '.join(NAMES)} (with or without {', '.join(ENDINGS[1:])})"
        raise ReleasedCheckpointError(f"{folder} has no {wanted}: {get_it}, or name yours as `file`")
    return found


def register_audioldm(file: Path, store: Store) -> pa.Table:
    """Copies AudioLDM's autoencoder and vocoder into the store, as a checkpoint of this project.

    Args:
        file: the file as it was released.
        store: where the copy goes.

    Returns:
        `tables.CHECKPOINT`, one row.

    Raises:
        ReleasedCheckpointError: the file is of another model, or damaged.
        CheckpointError: a weight is not finite.
        StoreError: the copy cannot be written.
    """
    settings = AutoencoderTrainingSettings()
    model = SoundAutoencoder.build(settings)
    load_audioldm(file, model)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "weights.safetensors"
        save_checkpoint(copy, model, settings, released="audioldm")
        sha256 = read_origin(copy).weights_sha256 or ""
        path = f"{'/'.join(('checkpoints', *AUDIOLDM_AUTOENCODER[1:]))}/{sha256[:16]}/{copy.name}"
        with store.writing(path) as temporary:
            shutil.copyfile(copy, temporary)
    _, name, setting = AUDIOLDM_AUTOENCODER
    row = released_row(settings, path, sum(parameter.numel() for parameter in model.parameters()))
    return CHECKPOINT.from_rows([{"model": name, "setting": setting, **row}])
