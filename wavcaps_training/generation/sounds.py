"""Generated sounds in the store, with their provenance."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from wavcaps_assets.audio.generated import GENERATED_FOLDER
from wavcaps_assets.audio.normalise import normalise
from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_assets.store.storage import Store
from wavcaps_training.data import Clip
from wavcaps_training.data.latents import LatentFile, LatentsError
from wavcaps_training.generation.sampling import (
    Candidate,
    SamplingError,
    SoundMaker,
    best,
    checked,
    write_flac,
)
from wavcaps_training.settings.generation import SamplingSettings
from wavcaps_training.tables import GENERATED_SOUNDS

NO_PROGRESS = NoProgress()


@dataclass(frozen=True)
class Origin:
    """The names of the checkpoints that make sounds, and the training data that sounds are compared to.

    Attributes:
        checkpoint: the latent diffusion model's name, such as `audioldm/demo`.
        conditioned_by: the retrieval model's.
        latents: what the model was trained on.
        clips: those of its clips that it learned from, by id.
    """

    checkpoint: str
    conditioned_by: str
    latents: LatentFile
    clips: Mapping[str, Clip]


def make_sounds(
    texts: Sequence[str],
    maker: SoundMaker,
    origin: Origin,
    store: Store,
    settings: SamplingSettings,
    progress: Progress = NO_PROGRESS,
) -> pa.Table:
    """Makes a sound from each text and stores it. With the same texts and settings, files are the same.

    Args:
        texts: what is to be heard.
        maker: the models.
        origin: their names, and the training data.
        store: where the FLAC files go.
        settings: of the sampler.
        progress: counts texts.

    Returns:
        `tables.GENERATED_SOUNDS`.

    Raises:
        TextError: a text is empty or too long.
        SamplingError: a sound is not finite, or the disk for temporary files is full.
        LatentsError: the model was trained on other latents.
        StoreError: the store's disk is full, or writing is not permitted; files that are complete stay.
    """
    tidy = checked(texts)
    if maker.settings.model.latents_of_sha256 != origin.latents.of_sha256:
        raise LatentsError(
            f"the latents were made again, of other clips or captions than {origin.checkpoint} was trained "
            f"on, and the nearest clips would not be of its training data: train {origin.checkpoint} again"
        )
    real = RealSounds(origin)
    rows = []
    for candidate in best(maker.candidates(tidy, settings)):
        rows.append(_stored(candidate, maker, origin, store, settings) | real.nearest(candidate.vector))
        progress.update(len(rows), len(tidy))
    return GENERATED_SOUNDS.from_rows(rows)


class RealSounds:
    """The clips that a model was trained on, as vectors of the retrieval model that conditioned it.

    Raises:
        LatentsError: none of them is in the training manifest.
    """

    def __init__(self, origin: Origin) -> None:
        self._clips = [origin.clips[clip_id] for clip_id in origin.latents.clips if clip_id in origin.clips]
        if not self._clips:
            raise LatentsError(
                f"none of the {len(origin.latents.clips)} clips with latents is in the training manifest, "
                "which has changed since: materialize the latents again, and then the model"
            )
        self._vectors = np.stack([origin.latents.audio(clip.clip_id).numpy() for clip in self._clips])

    def nearest(self, vector: np.ndarray) -> dict[str, Any]:
        """The columns of the clip whose audio is most similar to a sound."""
        similarities = self._vectors @ vector
        clip = self._clips[int(similarities.argmax())]
        return {
            "nearest_clip_id": clip.clip_id,
            "nearest_caption": clip.captions[0],
            "nearest_audio_path": clip.audio_path,
            "nearest_similarity": float(similarities.max()),
        }


def _stored(
    candidate: Candidate, maker: SoundMaker, origin: Origin, store: Store, settings: SamplingSettings
) -> dict[str, Any]:
    """Writes a sound into the store. Returns its columns."""
    about = {
        "text": candidate.text,
        "checkpoint": origin.checkpoint,
        "weights_sha256": maker.weights_sha256,
        "conditioned_by": origin.conditioned_by,
        "conditioned_by_sha256": maker.encoder.weights_sha256,
        **settings.model_dump(exclude={"batch_size"}),
    }
    sound_id = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    with tempfile.TemporaryDirectory() as name:
        here = Path(name) / "sound.flac"
        try:
            write_flac(here, candidate.samples, maker.sample_rate, {**about, "candidate": candidate.number})
            # As a clip of this sound would be stored: so it is found in a manifest.
            facts = normalise(here, Path(name) / "as_a_clip.flac")
        except OSError as error:
            raise SamplingError(
                f"{error}: free some space, or set TMPDIR to a folder on another disk. Sounds that are "
                "complete stay"
            ) from error
        path = f"{GENERATED_FOLDER}/{facts.samples_sha256}.flac"
        with store.writing(path) as target:
            shutil.copyfile(here, target)
    return {
        **about,
        "sound_id": sound_id,
        "audio_path": path,
        "samples_sha256": facts.samples_sha256,
        "duration_s": len(candidate.samples) / maker.sample_rate,
        "sample_rate": maker.sample_rate,
        "candidate": candidate.number,
        "similarity": candidate.similarity,
    }
