"""The autoencoder and the vocoder of a released AudioLDM checkpoint (https://github.com/haoheliu/AudioLDM)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from torch import Tensor

from wavcaps_training.checkpoints.released import in_words, misfits, weights_of
from wavcaps_training.checkpoints.safe_files import ReleasedCheckpointError, read_pickle
from wavcaps_training.models.sound_autoencoder import SoundAutoencoder, vae_config

FIRST_STAGE = "first_stage_model."
VOCODER = "vocoder."
# Constants of the adversarial loss that trained it.
LOSS = "loss."
CONSTANTS = ("vocoder.mean", "vocoder.scale")


def load_audioldm(path: Path, model: SoundAutoencoder) -> None:
    """Fills an autoencoder with those parts of a released AudioLDM checkpoint; its code is not run.

    The checkpoint may be one of the sizes S, M and L: all have the same autoencoder.

    Args:
        path: a file such as `audioldm-s-full`.
        model: an autoencoder of AudioLDM's sizes, with HiFi-GAN; it does not change unless everything fits.

    Raises:
        ReleasedCheckpointError: the file cannot be read, has no autoencoder, or one of another shape; names
            every key that does not fit.
    """
    stored = weights_of(read_pickle(path), path)
    # Constants that transformers adds to the vocoder, and that it does not use here.
    constants = {name: value for name, value in model.state_dict().items() if name in CONSTANTS}
    weights = {**constants, **audioldm_weights(stored, path, vae_config(model.settings))}
    found = in_words(misfits(weights, model.state_dict()))
    if found:
        raise ReleasedCheckpointError(
            f"the autoencoder of {path} does not fit the model, which is unchanged: {found}. The default "
            "settings are those of AudioLDM's autoencoder for 16 kHz: use them with a file of that"
        )
    model.load_state_dict(weights)


def audioldm_weights(
    stored: Mapping[str, Tensor], path: Path, config: Mapping[str, Any]
) -> dict[str, Tensor]:
    """The weights of autoencoder and vocoder, by their names in `SoundAutoencoder`.

    Args:
        stored: of the whole checkpoint.
        path: its file, for errors.
        config: of `AutoencoderKL`.

    Raises:
        ReleasedCheckpointError: it has no autoencoder, or one of other levels.
    """
    own = {
        name.removeprefix(FIRST_STAGE): value
        for name, value in stored.items()
        if name.startswith(FIRST_STAGE)
    }
    vae = {name: value for name, value in own.items() if not name.startswith((VOCODER, LOSS))}
    if not vae:
        raise ReleasedCheckpointError(
            f"{path} has no autoencoder: it has no weights under {FIRST_STAGE}*; give a checkpoint of "
            "AudioLDM, such as audioldm-s-full from https://zenodo.org/records/7600541"
        )
    try:
        converted = convert_ldm_vae_checkpoint(vae, config)
    except (KeyError, IndexError, AttributeError) as error:
        raise ReleasedCheckpointError(
            f"the autoencoder of {path} is not AudioLDM's: {error!r}; give the file as it was released"
        ) from error
    if len(converted) != len(vae):
        raise ReleasedCheckpointError(
            f"the autoencoder of {path} has {len(vae)} tensors, of which {len(converted)} fit the levels of "
            "the settings; the default settings are those of AudioLDM's autoencoder for 16 kHz"
        )
    vocoder = {
        name.replace("vocoder.ups.", "vocoder.upsampler."): value
        for name, value in own.items()
        if name.startswith(VOCODER)
    }
    return {**{f"vae.{name}": value for name, value in converted.items()}, **vocoder}
