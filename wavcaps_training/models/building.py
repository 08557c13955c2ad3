"""The model that a run's settings describe. A model for a new task is an entry in `BUILDERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from wavcaps_training.models.captioner import Captioner
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.settings.captioner import AnyTrainingSettings

# By the field `task` of the settings; the second argument says whether pretrained language models are read.
BUILDERS: Mapping[str, Callable[[Any, bool], nn.Module]] = {
    "retrieval": lambda settings, pretrained: RetrievalModel.build(settings, pretrained_text=pretrained),
    "captioning": lambda settings, pretrained: Captioner.build(settings.model, pretrained_bart=pretrained),
}


def build_model(settings: AnyTrainingSettings, *, pretrained: bool = True) -> nn.Module:
    """The model that the settings describe, with fresh audio weights.

    Args:
        settings: the model and the run.
        pretrained: whether the weights of BERT or BART are read; False for a model that a checkpoint fills.

    Raises:
        TextModelError: there is no BERT or BART where the settings say.
    """
    return BUILDERS[settings.task](settings, pretrained)
