"""The latents of a training set in the store."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa

from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore, set_version_of, with_set_version
from wavcaps_training.checkpoints.header import stored_weights_sha256
from wavcaps_training.data import AudioFiles, clips_of
from wavcaps_training.generation.latents import make_latents
from wavcaps_training.tables import LATENTS, LATENTS_FOLDER

NO_PROGRESS = NoProgress()
SPLITS = ("train", "validation")
# The checkpoints that latents are made with, as the columns of `tables.LATENTS` begin.
PARTS = ("autoencoder", "conditioned_by")


def store_latents(
    manifest: pa.Table,
    autoencoder: tuple[str, str],
    conditioned_by: tuple[str, str],
    place: tuple[Store, str],
    progress: Progress = NO_PROGRESS,
) -> pa.Table:
    """Computes the latents and the embeddings of a training set, and stores them.

    The file is named by its hash, so that what an earlier row refers to does not change.

    Args:
        manifest: `tables.TRAINING_MANIFEST`.
        autoencoder: a checkpoint's name, and its weights, relative to the store.
        conditioned_by: name and weights of a retrieval checkpoint, too.
        place: the store, and the device: `cpu` or `cuda`.
        progress: counts clips.

    Returns:
        `tables.LATENTS`, one row, with the version of the set.

    Raises:
        CheckpointError: a checkpoint is missing, damaged or of another task.
        AudioReadError: the audio of too many clips cannot be read.
        LatentsError: the disk for temporary files is full.
        StoreError: the latents cannot be written.
    """
    store, device = place
    clips = [clip for split in SPLITS for clip in clips_of(manifest, split)]
    with ExitStack() as stack:
        here = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "latents.safetensors"
        models = [stack.enter_context(store.reading(path)) for _, path in (autoencoder, conditioned_by)]
        made = make_latents(clips, AudioFiles(store), (models[0], models[1]), here, device, progress)
        with here.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        path = f"{LATENTS_FOLDER}/{sha256[:16]}.safetensors"
        with store.writing(path) as target:
            shutil.copyfile(here, target)
    table = LATENTS.from_rows(
        [
            {
                "latents_path": path,
                "latents_sha256": sha256,
                "autoencoder": autoencoder[0],
                "autoencoder_path": autoencoder[1],
                "autoencoder_sha256": made.autoencoder_sha256,
                "conditioned_by": conditioned_by[0],
                "conditioned_by_path": conditioned_by[1],
                "conditioned_by_sha256": made.conditioned_by_sha256,
                "clips": made.clips,
                "unreadable_clips": sorted(made.unreadable),
                "shape": list(made.shape),
                "width": made.width,
            }
        ]
    )
    return with_set_version(table, set_version_of(manifest))


def older_parts(latents: pa.Table, manifest: pa.Table, tables: TableStore) -> list[str]:
    """What changed after latents were made with it: checkpoints that were trained again, and the set.

    Args:
        latents: `tables.LATENTS`, one row.
        manifest: `tables.TRAINING_MANIFEST`, as it is now.

    Raises:
        StoreError: a table cannot be read.
    """
    (row,) = latents.to_pylist()
    found = []
    for part in PARTS:
        key = ["checkpoint", *row[part].split("/")]
        paths = tables.read(key, [WHOLE], ["weights_path"])["weights_path"].to_pylist()
        now = stored_weights_sha256(tables.store, paths[0]) if paths else None
        if now not in (None, row[f"{part}_sha256"]):
            found.append(str(row[part]))
    of, version = set_version_of(latents), set_version_of(manifest)
    return [*found, *([f"the set ({of}, now {version})"] if of and version and of != version else [])]
