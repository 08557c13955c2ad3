"""Generated sounds, each next to the real clip that is most similar, as the report plays them."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import soundfile

from wavcaps_assets.show.text import shown
from wavcaps_assets.store.storage import MissingFile, Store
from wavcaps_assets.store.stored_file import StoredFile
from wavcaps_assets.tables.asset_tables import TableStore, path_of
from wavcaps_training.paper.experiments import EXPERIMENTS
from wavcaps_training.paper.stored_scores import current_weights
from wavcaps_training.report.sound import Sound, excerpt
from wavcaps_training.tables import GENERATED_SOUNDS_FOLDER

# Of `generated_sounds/<model>/<setting>`.
PARTS = 3
SOUNDS_SHOWN = 8
# The training manifest whose clips are those of the published set.
OF_THE_SET = ("training_manifest",)
CREDIT = ("author", "licence")
WINDOW, HOP, RANGE_DB = 512, 512, 70.0


@dataclass(frozen=True)
class Heard:
    """A sound, with a picture of it.

    Attributes:
        sound: None: its file cannot be read.
        spectrogram: a PNG image as a `data:` URI; empty: there is none.
    """

    sound: Sound | None
    spectrogram: str


@dataclass(frozen=True)
class GeneratedSound:
    """A generated sound next to the most similar clip of the training data.

    Attributes:
        similarity: of the sound and its text (cosine).
        nearest: the clip's sound; None: the clip was published when the sound was made, and is not now.
        nearest_credit: who made the clip, and its licence; empty: it is of a set without.
        nearest_similarity: of the sound and the clip.
    """

    text: str
    made: Heard
    similarity: float
    nearest_clip_id: str
    nearest_caption: str
    nearest: Heard | None
    nearest_credit: tuple[str, ...]
    nearest_similarity: float


@dataclass(frozen=True)
class GeneratedSounds:
    """The sounds of a checkpoint.

    Attributes:
        sounds: the first of them.
        count: how many there are.
        older: whether the checkpoint was trained again since.
    """

    checkpoint: str
    conditioned_by: str
    how: str
    count: int
    sounds: tuple[GeneratedSound, ...]
    older: bool


def read_generated_sounds(
    tables: TableStore, files: Iterable[StoredFile], published: pa.Table
) -> tuple[GeneratedSounds, ...]:
    """The generated sounds of all checkpoints that made some.

    Args:
        tables: the store's tables.
        files: of the store.
        published: `tables.MANIFEST`: the set as it is published now.

    Raises:
        StoreError: a table exists and cannot be read.
    """
    there = {file.path for file in files}
    keys = sorted(
        tuple(path.split("/")[1:-1])
        for path in there
        if path.startswith(f"tables/{GENERATED_SOUNDS_FOLDER}/") and path.endswith(".parquet")
    )
    found = [key for key in dict.fromkeys(keys) if len(key) == PARTS and path_of(key, None) in there]
    made = (_of_checkpoint(tables, key, published) for key in found)
    return tuple(sounds for sounds in made if sounds is not None)


def _of_checkpoint(tables: TableStore, key: tuple[str, ...], published: pa.Table) -> GeneratedSounds | None:
    rows = tables.read(key).to_pylist()
    if not rows:
        return None
    first, shown_rows, store = rows[0], rows[:SOUNDS_SHOWN], tables.store
    clips = _published([row["nearest_clip_id"] for row in shown_rows], published)
    of_the_set = any(
        one.name == first["checkpoint"] and one.training_manifest == OF_THE_SET for one in EXPERIMENTS
    )

    def nearest(row: dict[str, Any]) -> dict[str, Any]:
        clip = clips.get(row["nearest_clip_id"])
        if clip is None and of_the_set:
            # Removed, maybe because somebody asked for it.
            return {"nearest": None, "nearest_caption": "", "nearest_credit": ()}
        about = clip or {}
        return {
            "nearest": heard(store, row["nearest_audio_path"]),
            "nearest_caption": shown(about.get("caption") or row["nearest_caption"]),
            "nearest_credit": tuple(shown(about[name]) for name in CREDIT if about.get(name)),
        }

    return GeneratedSounds(
        checkpoint=first["checkpoint"],
        conditioned_by=first["conditioned_by"],
        how=f"{first['steps']} steps, guidance {first['guidance']:g}, the best of {first['candidates']}, "
        f"seed {first['seed']}",
        count=len(rows),
        sounds=tuple(
            GeneratedSound(
                text=shown(row["text"]),
                made=heard(store, row["audio_path"]),
                similarity=row["similarity"],
                nearest_clip_id=row["nearest_clip_id"],
                nearest_similarity=row["nearest_similarity"],
                **nearest(row),
            )
            for row in shown_rows
        ),
        older=current_weights(tables, ("checkpoint", *key[1:])) not in (None, first["weights_sha256"]),
    )


def _published(clip_ids: Sequence[str], published: pa.Table) -> dict[str, dict[str, Any]]:
    """Those of some clips that are published, by their ids."""
    found = published.filter(pc.is_in(published["clip_id"], pa.array(clip_ids, pa.string())))
    return {clip["clip_id"]: clip for clip in found.select(["clip_id", "caption", *CREDIT]).to_pylist()}


def heard(store: Store, audio_path: str) -> Heard:
    """The first ten seconds of a sound of the store, with its spectrogram.

    Raises:
        StoreError: the store cannot be reached.
    """
    sound = excerpt(store, audio_path)
    if sound is None:
        return Heard(None, "")
    try:
        with store.reading(audio_path) as path, soundfile.SoundFile(path) as file:
            rate = file.samplerate
            samples = file.read(int(sound.seconds * rate), dtype="float32", always_2d=True)[:, 0]
    except (MissingFile, soundfile.LibsndfileError):
        return Heard(sound, "")
    return Heard(sound, spectrogram(samples))


def spectrogram(samples: np.ndarray) -> str:
    """A spectrogram as a PNG image in a `data:` URI: time to the right, frequency upwards, 70 dB of levels.

    Args:
        samples: (samples,).
    """
    from matplotlib.image import imsave

    if len(samples) < WINDOW:
        return ""
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames)).T[::-2] ** 2
    level = 10 * np.log10(np.maximum(power, power.max() * 10 ** (-RANGE_DB / 10) + 1e-12))
    image = io.BytesIO()
    imsave(image, level, cmap="magma", format="png")
    return f"data:image/png;base64,{b64encode(image.getvalue()).decode()}"
