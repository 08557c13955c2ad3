"""The sounds of a model in the store, from its checkpoint and what it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import pyarrow as pa

from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_assets.store.storage import Store
from wavcaps_training.data import clips_of
from wavcaps_training.data.latents import LatentFile
from wavcaps_training.generation.sampling import SoundMaker
from wavcaps_training.generation.sounds import Origin, make_sounds
from wavcaps_training.settings.generation import SamplingSettings

NO_PROGRESS = NoProgress()


def sounds_of(
    texts: Sequence[str],
    checkpoint: tuple[str, str],
    trained_on: tuple[Mapping[str, Any], pa.Table],
    place: tuple[Store, str],
    settings: SamplingSettings,
    progress: Progress = NO_PROGRESS,
) -> pa.Table:
    """Makes sounds with a checkpoint of the store.

    Args:
        texts: what is to be heard.
        checkpoint: its name, and its weights, relative to the store.
        trained_on: the row of its `tables.LATENTS`, and its `tables.TRAINING_MANIFEST`.
        place: the store, and the device: `cpu` or `cuda`.
        settings: of the sampler.
        progress: counts texts.

    Returns:
        `tables.GENERATED_SOUNDS`.

    Raises:
        TextError, SamplingError, CheckpointError, LatentsError, StoreError: as `make_sounds` and
            `SoundMaker`.
    """
    store, device = place
    made_of, manifest = trained_on
    # A clip of the validation split was not learned from, however similar it is.
    clips = {clip.clip_id: clip for clip in clips_of(manifest, "train")}
    paths = (checkpoint[1], made_of["conditioned_by_path"], made_of["latents_path"])
    with ExitStack() as stack:
        weights, conditioned_by, latents = (stack.enter_context(store.reading(path)) for path in paths)
        origin = Origin(checkpoint[0], made_of["conditioned_by"], LatentFile(latents), clips)
        maker = SoundMaker(weights, conditioned_by, device)
        return make_sounds(texts, maker, origin, store, settings, progress)
