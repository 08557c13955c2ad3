"""The model that a run's settings describe. A model for a new task is an entry in `BUILDERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from wavcaps_training.models.captioner import Captioner
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.settings.captioner import AnyTrainingSettings


def _latent_diffusion(settings: Any, pretrained: bool, folder: Path | None) -> nn.Module:
    # diffusers is imported only where sound is made: it takes seconds.
    return import_module("wavcaps_training.models.latent_diffusion").LatentDiffusion.build(settings)


def _autoencoder(settings: Any, pretrained: bool, folder: Path | None) -> nn.Module:
    return import_module("wavcaps_training.models.sound_autoencoder").SoundAutoencoder.build(settings)


# By the field `task` of the settings. The other arguments are those of `build_model`.
BUILDERS: Mapping[str, Callable[[Any, bool, Path | None], nn.Module]] = {
    "retrieval": lambda settings, pretrained, folder: RetrievalModel.build(
        settings, pretrained_text=pretrained, text_folder=folder
    ),
    "captioning": lambda settings, pretrained, folder: Captioner.build(
        settings.model, pretrained_bart=pretrained, text_folder=folder
    ),
    "generation": _latent_diffusion,
    "autoencoder": _autoencoder,
}


def build_model(
    settings: AnyTrainingSettings, *, pretrained: bool = True, text_folder: Path | None = None
) -> nn.Module:
    """The model that the settings describe, with fresh audio weights.

    Args:
        settings: the model and the run.
        pretrained: whether the weights of BERT or BART are read; False for a model that a checkpoint fills.
        text_folder: the tokenizer and the configuration of BERT or BART, instead of those of the settings'
            folder; only for a model that a checkpoint fills.

    Raises:
        TextModelError: there is no BERT or BART where the settings say.
    """
    return BUILDERS[settings.task](settings, pretrained, text_folder)
