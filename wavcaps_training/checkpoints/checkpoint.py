"""Checkpoints: weights as safetensors, with a description.

A file contains the weights, the settings of the run (whose field `task` names the model), the format's
number, a hash of the weights, the tokenizer, the version of the training manifest, and the version of the
code. Reading it runs no code. Tensors that are shared in the model, such as BART's word embeddings, are
stored once, under the first of their names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from wavcaps_assets.store.storage import Store
from wavcaps_training.checkpoints.code_version import package_version, sources_sha256
from wavcaps_training.checkpoints.header import WEIGHTS_KEY
from wavcaps_training.checkpoints.released import in_words, misfits, untied
from wavcaps_training.checkpoints.safe_files import ZIP_MAGIC
from wavcaps_training.checkpoints.text_files import (
    TextFilesError,
    text_files_of,
    text_folder,
    vocabulary,
)
from wavcaps_training.checkpoints.weights import as_os_error, tied_names, weights_sha256
from wavcaps_training.models.building import build_model
from wavcaps_training.models.captioner import Captioner
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.settings.captioner import AnyTrainingSettings, CaptionerTrainingSettings
from wavcaps_training.settings.differences import differences
from wavcaps_training.settings.generation import AutoencoderTrainingSettings, GenerationTrainingSettings
from wavcaps_training.settings.training import TrainingSettings

if TYPE_CHECKING:
    # diffusers, which they need, takes seconds to import.
    from wavcaps_training.models.latent_diffusion import LatentDiffusion
    from wavcaps_training.models.sound_autoencoder import SoundAutoencoder

# The file of a run's best weights, in its folder.
WEIGHTS = "weights.safetensors"
FORMAT = 3  # 1 had only the settings, 2 had no tokenizer
SETTINGS_KEY = "wavcaps_training_settings"
FORMAT_KEY = "wavcaps_checkpoint_format"
MANIFEST_KEY = "wavcaps_training_manifest_sha256"
VERSION_KEY = "wavcaps_version"
SOURCES_KEY = "wavcaps_training_sources_sha256"
TEXT_FILES_KEY = "wavcaps_text_model_files"
STARTED_FROM_KEY = "wavcaps_started_from_weights_sha256"
RELEASED_KEY = "wavcaps_released_checkpoint"
PICKLE_MAGIC = b"\x80"

SETTINGS: TypeAdapter[AnyTrainingSettings] = TypeAdapter(AnyTrainingSettings)
TEXT_FILES: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])


class CheckpointError(ValueError):
    """A file is not a checkpoint of this project, or not of this model."""


@dataclass(frozen=True)
class CheckpointOrigin:
    """The description of a checkpoint.

    Attributes:
        settings: of the run that made it.
        format: the number of the file's format; format 1 has none of the fields below, and format 2 has no
            `text_files`.
        weights_sha256: a hash of the weights, by the function `weights_sha256`.
        manifest_sha256: the version of the training manifest; None: not known.
        version: the installed version of the project.
        sources_sha256: a hash of the training code.
        text_files: the tokenizer and the configuration of its text model, by file name.
        started_from: the hash of the weights that its training started from; empty: fresh weights; None: not
            known, as of files that older versions wrote.
        released: the name of the released checkpoint that it is; None: it is none.
    """

    settings: AnyTrainingSettings
    format: int
    weights_sha256: str | None
    manifest_sha256: str | None
    version: str | None
    sources_sha256: str | None
    text_files: Mapping[str, str]
    started_from: str | None = None
    released: str | None = None


def save_checkpoint(
    path: Path,
    model: nn.Module,
    settings: AnyTrainingSettings,
    manifest_sha256: str | None = None,
    *,
    started_from: str | None = None,
    released: str | None = None,
) -> None:
    """Writes all weights and their description in one step: a failure leaves the previous file.

    Args:
        path: the file.
        model: the model that `settings` describe.
        settings: the run's.
        manifest_sha256: the version of the training manifest, if known.
        started_from: the hash of the weights that the training started from, if known; empty: fresh weights.
        released: the name of the released checkpoint that it is.

    Raises:
        CheckpointError: a weight is not finite; names each.
        StoreError: the disk is full, or writing is not permitted.
    """
    tied = tied_names(model)
    weights = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if name not in tied
    }
    refuse_broken(weights, f"{path} was not written, and a previous file is unchanged")
    metadata = {
        SETTINGS_KEY: settings.model_dump_json(),
        FORMAT_KEY: str(FORMAT),
        WEIGHTS_KEY: weights_sha256(weights),
        VERSION_KEY: package_version(),
        SOURCES_KEY: sources_sha256(),
        TEXT_FILES_KEY: json.dumps(text_files_of(model)),
    }
    known = {MANIFEST_KEY: manifest_sha256, STARTED_FROM_KEY: started_from, RELEASED_KEY: released}
    metadata |= {key: value for key, value in known.items() if value is not None}
    with Store(path.parent).writing(path.name) as temporary:
        try:
            save_file(weights, temporary, metadata=metadata)
        except SafetensorError as error:
            raise as_os_error(error) from error


def read_origin(path: Path) -> CheckpointOrigin:
    """The description of a checkpoint; its weights are not read.

    Raises:
        CheckpointError: the file is missing, damaged, not of this project or of a later version.
    """
    metadata = read_metadata(path)
    if SETTINGS_KEY not in metadata:
        raise CheckpointError(
            f"{path} does not contain its settings ({SETTINGS_KEY}): it was not written by this project"
        )
    number = metadata.get(FORMAT_KEY, "1")
    if not number.isdecimal() or int(number) > FORMAT:
        raise CheckpointError(
            f"{path} has the format {number}, and this version reads formats up to {FORMAT}: it was written "
            f"by a later version ({metadata.get(VERSION_KEY, 'unknown')}); use that version"
        )
    try:
        settings = SETTINGS.validate_json(metadata[SETTINGS_KEY])
    except ValidationError as error:
        raise CheckpointError(
            f"{path} was written with settings that this version does not know: {error}"
        ) from error
    try:
        text_files = TEXT_FILES.validate_json(metadata.get(TEXT_FILES_KEY, "{}"))
    except ValidationError as error:
        raise CheckpointError(f"{path} is damaged: {TEXT_FILES_KEY} are not files: {error}") from error
    return CheckpointOrigin(
        settings=settings,
        format=int(number),
        weights_sha256=metadata.get(WEIGHTS_KEY),
        manifest_sha256=metadata.get(MANIFEST_KEY),
        version=metadata.get(VERSION_KEY),
        sources_sha256=metadata.get(SOURCES_KEY),
        text_files=text_files,
        started_from=metadata.get(STARTED_FROM_KEY),
        released=metadata.get(RELEASED_KEY),
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint, on the CPU, checked against their hash.

    Raises:
        CheckpointError: the file is missing, damaged or not of this project.
    """
    origin = read_origin(path)
    weights = load_file(path)
    if origin.weights_sha256 not in (None, weights_sha256(weights)):
        raise CheckpointError(
            f"{path} is damaged: its weights do not have the hash that was written with them; copy it again "
            "from its origin, or train it again"
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


@overload
def load_checkpoint(
    path: Path, device: str = "cpu", *, task: Literal["generation"]
) -> tuple[LatentDiffusion, GenerationTrainingSettings]: ...


@overload
def load_checkpoint(
    path: Path, device: str = "cpu", *, task: Literal["autoencoder"]
) -> tuple[SoundAutoencoder, AutoencoderTrainingSettings]: ...


def load_checkpoint(
    path: Path,
    device: str = "cpu",
    task: Literal["retrieval", "captioning", "generation", "autoencoder"] = "retrieval",
) -> tuple[nn.Module, AnyTrainingSettings]:
    """Builds the model that a checkpoint describes and loads its weights, in evaluation mode.

    Args:
        path: the checkpoint.
        device: the device to put the model on.
        task: the task that the checkpoint must be for.

    Raises:
        CheckpointError: the file is not a checkpoint, or is for the other task; or a weight is missing,
            unknown, of another shape or not finite.
        TextModelError: the file is of a format before 3, and its text model's folder is missing.
    """
    origin = read_origin(path)
    settings, found = origin.settings, origin.settings.task
    if found != task:
        raise CheckpointError(
            f"{path} is a checkpoint of {found}, and a checkpoint of {task} is needed; give the checkpoint "
            f"of a model for {task}"
        )
    model = described_model(path, origin)
    load_weights(model, read_weights(path), str(path))
    return model.to(device).eval(), settings


def described_model(path: Path, origin: CheckpointOrigin) -> nn.Module:
    """The model that a checkpoint describes, with its own tokenizer and without its weights."""
    if not origin.text_files:
        return build_model(origin.settings, pretrained=False)
    try:
        with text_folder(origin.text_files) as folder:
            return build_model(origin.settings, pretrained=False, text_folder=folder)
    except TextFilesError as error:
        raise CheckpointError(f"{path} is damaged: {error}; copy it again from its origin") from error


def start_from(path: Path, model: nn.Module, settings: AnyTrainingSettings) -> CheckpointOrigin:
    """Fills a model with the weights of a checkpoint, for fine-tuning.

    The settings of the runs may differ, and those settings of the models that only matter while training. Any
    other difference would change the meaning of the weights, even if they fit.

    Args:
        path: the checkpoint.
        model: what `settings` describe.
        settings: of the new run.

    Raises:
        CheckpointError: as `load_checkpoint` does; or the model is not that of the settings, with each
            setting that differs.
    """
    origin = read_origin(path)
    found, wanted = origin.settings.task, settings.task
    if found != wanted:
        raise CheckpointError(
            f"{path} is a checkpoint of {found}, and training for {wanted} cannot start from it; give the "
            f"checkpoint of a model for {wanted}"
        )
    different = differences(
        origin.settings.model.model_dump(mode="json"), settings.model.model_dump(mode="json"), "model"
    )
    if origin.text_files and vocabulary(origin.text_files) != vocabulary(text_files_of(model)):
        # The folder's name does not matter, since folders move. What is in it does.
        different.append("the run's tokenizer is not the checkpoint's, and gives words other ids")
    if different:
        raise CheckpointError(
            f"{path} is of a model with other settings: {'; '.join(different)}; start from a checkpoint of "
            "the same model, or give the run the checkpoint's settings"
        )
    load_weights(model, read_weights(path), str(path))
    return origin


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], origin: str) -> None:
    """Loads weights that must fit the model exactly; the model does not change unless all of them fit.

    Args:
        model: the model to fill.
        weights: its state dict; tensors that are shared in the model may occur once.
        origin: their source, for errors.

    Raises:
        CheckpointError: names every key that is missing, unknown, of another shape or type, or not finite.
    """
    whole = dict(weights)
    for name, first in tied_names(model).items():
        if name not in whole and first in whole:
            whole[name] = whole[first]
    problems = {
        **misfits(whole, model.state_dict()),
        "different from each other, though the model shares them": untied(whole, model),
    }
    if found := in_words(problems):
        raise CheckpointError(
            f"the weights of {origin} do not fit the model, which is unchanged: {found}. If another version "
            "of this project wrote them, train it again"
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
        CheckpointError: the file is missing, cut short or of another kind.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint {path}: materialize its asset first")
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
        raise CheckpointError(f"{path} is not a whole safetensors file ({error}); train it again") from error
