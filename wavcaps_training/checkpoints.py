"""Checkpoints: weights as safetensors, with the settings that say what they are the weights of."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from wavcaps_assets.storage import Store
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.settings import TrainingSettings

SETTINGS_KEY = "wavcaps_training_settings"


class CheckpointError(ValueError):
    """A file is no checkpoint of this project, or not of this model."""


def save_checkpoint(path: Path, model: RetrievalModel, settings: TrainingSettings) -> None:
    """Writes all weights, and the settings as metadata, in one step.

    Raises:
        StoreError: there is no room, or no right to write.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with Store(path.parent).writing(path.name) as temporary:
        save_file(weights, temporary, metadata={SETTINGS_KEY: settings.model_dump_json()})


def read_settings(path: Path) -> TrainingSettings:
    """The settings that a checkpoint was trained with.

    Raises:
        CheckpointError: the file is missing, damaged or from elsewhere.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint {path}: has its asset been materialized?")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise CheckpointError(f"{path} is no whole safetensors file ({error}); train it again") from error
    if SETTINGS_KEY not in metadata:
        raise CheckpointError(
            f"{path} does not say its settings ({SETTINGS_KEY}): it was not written by this project"
        )
    try:
        return TrainingSettings.model_validate_json(metadata[SETTINGS_KEY])
    except ValidationError as error:
        raise CheckpointError(
            f"{path} was written with settings that this version does not know: {error}"
        ) from error


def load_checkpoint(path: Path, device: str = "cpu") -> tuple[RetrievalModel, TrainingSettings]:
    """Builds the model that a checkpoint describes and loads its weights, in evaluation mode.

    Raises:
        CheckpointError: the file is no checkpoint, or a weight is missing, unknown or of another shape.
        TextModelError: the tokenizer of its text encoder is not there.
    """
    settings = read_settings(path)
    model = RetrievalModel.build(settings, pretrained_text=False)
    load_weights(model, load_file(path), str(path))
    return model.to(device).eval(), settings


def load_weights(model: RetrievalModel, weights: dict[str, Tensor], origin: str) -> None:
    """Loads weights that must fit the model exactly.

    Args:
        model: the model to fill.
        weights: its state dict.
        origin: where they come from, for errors.

    Raises:
        CheckpointError: names every key that is missing, unknown or of another shape.
    """
    expected = model.state_dict()
    problems = {
        "missing": sorted(expected.keys() - weights.keys()),
        "unknown": sorted(weights.keys() - expected.keys()),
        "of another shape": [
            f"{name} {tuple(weights[name].shape)} instead of {tuple(tensor.shape)}"
            for name, tensor in expected.items()
            if name in weights and weights[name].shape != tensor.shape
        ],
    }
    if any(problems.values()):
        found = "; ".join(f"{what}: {', '.join(names)}" for what, names in problems.items() if names)
        raise CheckpointError(f"the weights of {origin} do not fit the model: {found}")
    model.load_state_dict(weights)
