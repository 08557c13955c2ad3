"""Checkpoints: weights as safetensors, with what says what they are the weights of.

A file holds, beside the weights: the settings of the run (whose field `task` says which model), the
format's number, a hash of the weights, the version of the training manifest, and the version of the
code. It is read without running anything that it holds. Tensors that are one in the model, as BART's
word embeddings, are stored once, under the first of their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from wavcaps_assets.store.storage import Store
from wavcaps_training.checkpoints.code_version import package_version, sources_sha256
from wavcaps_training.checkpoints.released import misfits, untied
from wavcaps_training.checkpoints.safe_files import ZIP_MAGIC
from wavcaps_training.checkpoints.weights import as_os_error, tied_names, weights_sha256
from wavcaps_training.models.building import build_model
from wavcaps_training.models.captioner import Captioner
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.settings.captioner import AnyTrainingSettings, CaptionerTrainingSettings
from wavcaps_training.settings.differences import differences
from wavcaps_training.settings.training import TrainingSettings

FORMAT = 2  # 1 had the settings alone
SETTINGS_KEY = "wavcaps_training_settings"
FORMAT_KEY = "wavcaps_checkpoint_format"
WEIGHTS_KEY = "wavcaps_weights_sha256"
MANIFEST_KEY = "wavcaps_training_manifest_sha256"
VERSION_KEY = "wavcaps_version"
SOURCES_KEY = "wavcaps_training_sources_sha256"
PICKLE_MAGIC = b"\x80"

SETTINGS: TypeAdapter[AnyTrainingSettings] = TypeAdapter(AnyTrainingSettings)


class CheckpointError(ValueError):
    """A file is no checkpoint of this project, or not of this model."""


@dataclass(frozen=True)
class CheckpointOrigin:
    """What a checkpoint says of itself.

    Attributes:
        settings: of the run that made it.
        format: the number of the file's format; 1 has none of what follows.
        weights_sha256: a hash of the weights, as of `weights_sha256`.
        manifest_sha256: the version of the training manifest; None where it was not known.
        version: the version that the project was installed as.
        sources_sha256: a hash of the training code.
    """

    settings: AnyTrainingSettings
    format: int
    weights_sha256: str | None
    manifest_sha256: str | None
    version: str | None
    sources_sha256: str | None


def save_checkpoint(
    path: Path,
    model: nn.Module,
    settings: AnyTrainingSettings,
    manifest_sha256: str | None = None,
) -> None:
    """Writes all weights and what they are the weights of, in one step: a failure leaves the old file.

    Args:
        path: where to.
        model: the model that `settings` describe.
        settings: the run's.
        manifest_sha256: the version of the training manifest, where known.

    Raises:
        CheckpointError: a weight is not finite; names each.
        StoreError: there is no room, or no right to write.
    """
    double = tied_names(model)
    weights = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if name not in double
    }
    refuse_broken(weights, f"{path} was not written, and what stood there is as it was")
    metadata = {
        SETTINGS_KEY: settings.model_dump_json(),
        FORMAT_KEY: str(FORMAT),
        WEIGHTS_KEY: weights_sha256(weights),
        VERSION_KEY: package_version(),
        SOURCES_KEY: sources_sha256(),
    }
    if manifest_sha256 is not None:
        metadata[MANIFEST_KEY] = manifest_sha256
    with Store(path.parent).writing(path.name) as temporary:
        try:
            save_file(weights, temporary, metadata=metadata)
        except SafetensorError as error:
            raise as_os_error(error) from error


def read_origin(path: Path) -> CheckpointOrigin:
    """What a checkpoint says of itself; its weights are not read.

    Raises:
        CheckpointError: the file is missing, damaged, from elsewhere or of a later version.
    """
    metadata = read_metadata(path)
    if SETTINGS_KEY not in metadata:
        raise CheckpointError(
            f"{path} does not say its settings ({SETTINGS_KEY}): it was not written by this project"
        )
    number = metadata.get(FORMAT_KEY, "1")
    if not number.isdecimal() or int(number) > FORMAT:
        raise CheckpointError(
            f"{path} has the format {number}, and this version knows those up to {FORMAT}: it was written "
            f"by a later version ({metadata.get(VERSION_KEY, 'unknown')}); use that one"
        )
    try:
        settings = SETTINGS.validate_json(metadata[SETTINGS_KEY])
    except ValidationError as error:
        raise CheckpointError(
            f"{path} was written with settings that this version does not know: {error}"
        ) from error
    return CheckpointOrigin(
        settings=settings,
        format=int(number),
        weights_sha256=metadata.get(WEIGHTS_KEY),
        manifest_sha256=metadata.get(MANIFEST_KEY),
        version=metadata.get(VERSION_KEY),
        sources_sha256=metadata.get(SOURCES_KEY),
    )


def read_settings(path: Path) -> AnyTrainingSettings:
    """The settings that a checkpoint was trained with; raises as `read_origin` does."""
    return read_origin(path).settings


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint, on the CPU, compared with the hash that it was written with.

    Raises:
        CheckpointError: the file is missing, damaged or from elsewhere.
    """
    origin = read_origin(path)
    weights = load_file(path)
    if origin.weights_sha256 not in (None, weights_sha256(weights)):
        raise CheckpointError(
            f"{path} is damaged: its weights are not those that it was written with; copy it again from "
            "where it came, or train it again"
        )
    return weights


@overload
def load_checkpoint(
    path: Path, device: str = "cpu", task: Literal["retrieval"] = "retrieval"
) -> tuple[RetrievalModel, TrainingSettings]: ...


@overload
def load_checkpoint(
    path: Path, device: str = "cpu", *, task: Literal["captioning"]
) -> tuple[Captioner, CaptionerTrainingSettings]: ...


def load_checkpoint(
    path: Path, device: str = "cpu", task: Literal["retrieval", "captioning"] = "retrieval"
) -> tuple[nn.Module, AnyTrainingSettings]:
    """Builds the model that a checkpoint describes and loads its weights, in evaluation mode.

    Args:
        path: the checkpoint.
        device: where the model is to be.
        task: what the model must be for.

    Raises:
        CheckpointError: the file is no checkpoint, or is of the other task; or a weight is missing,
            unknown, of another shape or not finite.
        TextModelError: the tokenizer of its text model is not there.
    """
    settings = read_settings(path)
    found = settings.task
    if found != task:
        raise CheckpointError(
            f"{path} is a checkpoint of {found}, where one of {task} is wanted; give the checkpoint of a "
            f"model for {task}"
        )
    model = build_model(settings, pretrained=False)
    load_weights(model, read_weights(path), str(path))
    return model.to(device).eval(), settings


def start_from(path: Path, model: nn.Module, settings: AnyTrainingSettings) -> CheckpointOrigin:
    """Fills a model with the weights of a checkpoint, to train it on: fine-tuning.

    The runs' settings may differ, and of the model's those that only matter while training; any other
    difference would give the weights another meaning, even where they fit.

    Args:
        path: the checkpoint.
        model: what `settings` describe.
        settings: of the run that begins.

    Raises:
        CheckpointError: as `load_checkpoint` does; or the model is not that of the settings, with each
            setting that differs.
    """
    origin = read_origin(path)
    found, wanted = origin.settings.task, settings.task
    if found != wanted:
        raise CheckpointError(
            f"{path} is a checkpoint of {found}, and training for {wanted} cannot begin with it; give the "
            f"checkpoint of a model for {wanted}"
        )
    different = differences(
        origin.settings.model.model_dump(mode="json"), settings.model.model_dump(mode="json"), "model"
    )
    if different:
        raise CheckpointError(
            f"{path} is of a model with other settings: {'; '.join(different)}; begin with a checkpoint of "
            "the same model, or give the run the checkpoint's settings"
        )
    load_weights(model, read_weights(path), str(path))
    return origin


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], origin: str) -> None:
    """Loads weights that must fit the model exactly; nothing in the model changes unless all fit.

    Args:
        model: the model to fill.
        weights: its state dict; tensors that are one in the model may be there once.
        origin: where they come from, for errors.

    Raises:
        CheckpointError: names every key that is missing, unknown, of another shape or type, or not finite.
    """
    whole = dict(weights)
    for name, first in tied_names(model).items():
        if name not in whole and first in whole:
            whole[name] = whole[first]
    problems = {
        **misfits(whole, model.state_dict()),
        "unlike each other, though they are one in the model": untied(whole, model),
    }
    if any(problems.values()):
        found = "; ".join(f"{what}: {', '.join(names)}" for what, names in problems.items() if names)
        raise CheckpointError(
            f"the weights of {origin} do not fit the model, which was left as it was: {found}"
        )
    model.load_state_dict(whole)


def refuse_broken(weights: Mapping[str, Tensor], consequence: str) -> None:
    """Raises CheckpointError if a weight is NaN or infinite, naming each."""
    broken = [
        name for name, value in weights.items() if value.is_floating_point() and not value.isfinite().all()
    ]
    if broken:
        raise CheckpointError(f"weights are not finite: {', '.join(broken)}; {consequence}")


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file.

    Raises:
        CheckpointError: there is none such, or it is cut short or of another kind.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint {path}: has its asset been materialized?")
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        with path.open("rb") as file:
            start = file.read(len(ZIP_MAGIC))
        if start == ZIP_MAGIC or start.startswith(PICKLE_MAGIC):
            raise CheckpointError(
                f"{path} is a file of torch.save, which may run code when it is read, and was not opened: "
                "this project's checkpoints are safetensors; a released model's is read by load_released"
            ) from error
        raise CheckpointError(f"{path} is no whole safetensors file ({error}); train it again") from error
