"""Released checkpoints: read without running any code in them, and loaded only if everything fits.

Four kinds are known: the retrieval and captioning models of https://github.com/XinhaoMei/WavCaps, and
the AudioSet models that the audio encoders start from, PANNs' CNN14
(https://github.com/qiuqiangkong/audioset_tagging_cnn) and HTSAT
(https://github.com/RetroCirce/HTS-Audio-Transformer).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wavcaps_training.checkpoints.inert_pickle import Inert
from wavcaps_training.checkpoints.recognition import Family, recognise
from wavcaps_training.checkpoints.safe_files import ReleasedCheckpointError, read_pickle
from wavcaps_training.models.features import LogMel

POSITION_IDS = "text_encoder.text_encoder.embeddings.position_ids"
HTSAT_PREFIX = "sed_model."
# Names of the front end's constants, in WavCaps and in the AudioSet checkpoints.
KERNELS = {
    "mel_trans.stft.conv_real.weight": "spectrogram_extractor.stft.conv_real.weight",
    "mel_trans.stft.conv_imag.weight": "spectrogram_extractor.stft.conv_imag.weight",
    "log_trans.melW": "logmel_extractor.melW",
}
# Above the rounding of mel filters in float32 (1e-7), far below the filters (1e-2).
FILTER_TOLERANCE = 1e-5


@dataclass(frozen=True)
class ReleasedCheckpoint:
    """What a released checkpoint contained.

    Attributes:
        family: the model.
        tensors: how many tensors of the model it contains, with the front end's constants.
        epoch: the epoch that it was saved after, if it names one.
        config: the settings of its training, if it has them.
    """

    family: Family
    tensors: int
    epoch: int | None
    config: dict[str, Any]


@dataclass(frozen=True)
class ReadCheckpoint:
    """A released checkpoint that was read, and is in no model yet.

    Attributes:
        path: its file.
        family: the model that it is of.
        weights: its weights, by their names in the file.
        content: all of the file.
    """

    path: Path
    family: Family
    weights: Mapping[str, Any]
    content: Mapping[Any, Any]


def read_released(path: Path) -> ReadCheckpoint:
    """Reads a released checkpoint, without running any code in it.

    Raises:
        ReleasedCheckpointError: the file cannot be read, or has no weights.
    """
    content = read_pickle(path)
    stored = weights_of(content, path)
    return ReadCheckpoint(path, recognise(stored), stored, content)


def load_released(path: Path, model: nn.Module) -> ReleasedCheckpoint:
    """Loads a released checkpoint into a model; nothing in the model changes unless everything fits.

    Whatever else the file contains, such as an optimizer's state, is not read.

    The front end's constants, which our models compute, are compared instead of loaded. CNN14's `fc*`
    layers are left as they are when the file is PANNs', whose own are of another task.

    Args:
        path: a `.pt` of WavCaps' retrieval or captioning, PANNs' `Cnn14.pth` or HTSAT's `.ckpt`.
        model: a `RetrievalModel`, `Captioner`, `Cnn14` or `Htsat` of the released sizes.

    Raises:
        ReleasedCheckpointError: the file cannot be read, is of another model, or does not fit this one;
            names every key that is missing, unknown, of another shape or not finite.
    """
    return fill_model(read_released(path), model)


def fill_model(read: ReadCheckpoint, model: nn.Module) -> ReleasedCheckpoint:
    """Fills a model, as `load_released` does."""
    path, stored, family = read.path, read.weights, read.family
    wanted = recognise(model.state_dict())
    if family is Family.UNKNOWN or family.initialises is not wanted:
        raise ReleasedCheckpointError(another_model(path, stored, family, wanted))
    weights = named_as_here(stored, family)
    count = len(weights)
    kernels = take_kernels(weights, model)
    fresh = {name for name in model.state_dict() if family.is_panns and name.startswith("fc")}
    problems = {
        **misfits(weights, {k: v for k, v in model.state_dict().items() if k not in fresh}),
        "not the log-mel front end's of this model": other_front_ends(kernels, model),
        "different from each other, though BART shares them": untied(weights, model),
    }
    found = in_words(problems)
    if found:
        raise ReleasedCheckpointError(
            f"{path} is {family.title}, but does not fit the model, which is unchanged: {found}. "
            "If tensors are of other shapes, build the model with the released sizes, which are the "
            "settings' defaults; otherwise download the file again"
        )
    model.load_state_dict({**model.state_dict(), **weights}, strict=True)
    epoch, config = read.content.get("epoch"), read.content.get("config")
    return ReleasedCheckpoint(
        family=family,
        tensors=count,
        epoch=epoch if isinstance(epoch, int) else None,
        config=plain_data(config) if isinstance(config, dict) else {},
    )


def another_model(path: Path, stored: Mapping[str, Tensor], family: Family, wanted: Family) -> str:
    """The error message for a checkpoint of another model."""
    if family is Family.UNKNOWN:
        found = f"holds the weights of {family.title} ({', '.join(list(stored)[:5])}, ...)"
    else:
        found = f"looks like {family.title}"
    advice = "give the checkpoint of that model, or build the model that this one is of"
    if family.is_audioset:
        advice = f"it fills only {family.initialises.title}: give that part of such a model"
    return f"{path} {found}, but the model to fill is {wanted.title}; {advice}"


def weights_of(content: Mapping[Any, Any], path: Path) -> dict[str, Any]:
    """The state dict in a checkpoint: under `model`, or in Lightning's files under `state_dict`.

    Raises:
        ReleasedCheckpointError: there is none, or it contains entries that are not tensors.
    """
    for key in ("model", "state_dict"):
        weights = content.get(key)
        if isinstance(weights, Inert):
            raise refusal(path, key, {weights.name})
        if isinstance(weights, Mapping) and weights:
            break
    else:
        keys = ", ".join(repr(key) for key in list(content)[:5]) or "nothing"
        raise ReleasedCheckpointError(
            f"{path} is not a released checkpoint: it has no weights under 'model' or 'state_dict', but "
            f"holds {keys}; give the file as it was released"
        )
    objects = {value.name for value in (*weights, *weights.values()) if isinstance(value, Inert)}
    if objects:
        raise refusal(path, key, objects)
    wrong = [repr(name) for name, value in weights.items() if not (isinstance(name, str) and is_plain(value))]
    if wrong:
        raise ReleasedCheckpointError(
            f"{path} is not a released checkpoint: under {key!r} are entries that are not tensors: "
            f"{', '.join(wrong)}; give the file as it was released"
        )
    return dict(weights)


def refusal(path: Path, key: str, objects: set[str]) -> ReleasedCheckpointError:
    """The error of a file whose weights contain objects, by the names of their classes or functions."""
    return ReleasedCheckpointError(
        f"{path} was refused: reading what is under {key!r} would run code ({', '.join(sorted(objects))}), "
        "which weights never need. Nothing was run. Get the file from where its authors published it; if you "
        "made it yourself, save its weights alone, as {'model': model.state_dict()}"
    )


def plain_data(value: Any) -> Any:
    """Numbers, texts, lists and dictionaries of a value; whatever else it contains is None."""
    if isinstance(value, Mapping):
        return {key: plain_data(item) for key, item in value.items() if not isinstance(key, Inert)}
    if isinstance(value, list | tuple):
        return [plain_data(item) for item in value]
    return value if isinstance(value, str | int | float | None) else None


def is_plain(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized


def named_as_here(stored: Mapping[str, Tensor], family: Family) -> dict[str, Tensor]:
    """The weights under their names in our models, without those that our models do not have."""
    weights = dict(stored)
    weights.pop(POSITION_IDS, None)
    if not family.is_audioset:
        return weights
    weights = {name.removeprefix(HTSAT_PREFIX): value for name, value in weights.items()}
    if family.is_panns:
        weights = {name: value for name, value in weights.items() if not name.startswith("fc")}
    for ours, theirs in KERNELS.items():
        if theirs in weights:
            weights[f"audio_feats_extractor.{ours}"] = weights.pop(theirs)
    return weights


def front_ends(model: nn.Module) -> Iterator[tuple[str, LogMel]]:
    for name, module in model.named_modules():
        if isinstance(module, LogMel):
            yield name, module


def take_kernels(weights: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Removes the front end's constants from the weights, and returns them."""
    names = [f"{prefix}.{kernel}" for prefix, _ in front_ends(model) for kernel in KERNELS]
    return {name: weights.pop(name) for name in names if name in weights}


def other_front_ends(kernels: Mapping[str, Tensor], model: nn.Module) -> list[str]:
    """The constants in the file that this model's front end would not compute.

    The same network trained on another spectrogram has weights of the same names and shapes (PANNs released
    some for 8 and 16 kHz); only these constants show the difference.
    """
    wrong = []
    for prefix, front_end in front_ends(model):
        window = front_end.settings.window
        for kernel in KERNELS:
            name = f"{prefix}.{kernel}"
            if name not in kernels:
                continue
            filters = kernel.endswith("melW")
            shape = tuple(front_end.mel_filters.shape) if filters else (window // 2 + 1, 1, window)
            found = kernels[name]
            if tuple(found.shape) != shape:
                wrong.append(f"{name} {tuple(found.shape)} instead of {shape}")
            elif filters and not torch.allclose(
                found.float(), front_end.mel_filters.cpu(), rtol=0, atol=FILTER_TOLERANCE
            ):
                wrong.append(f"{name} (other mel filters)")
    return wrong


def misfits(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Every key that is missing, unknown, of another shape or kind, or not finite."""
    both = [(name, weights[name], tensor) for name, tensor in expected.items() if name in weights]
    return {
        "missing": sorted(expected.keys() - weights.keys()),
        "unknown": sorted(weights.keys() - expected.keys()),
        "of another shape": [
            f"{name} {tuple(found.shape)} instead of {tuple(tensor.shape)}"
            for name, found, tensor in both
            if found.shape != tensor.shape
        ],
        "of another type": [
            f"{name} {found.dtype} instead of {tensor.dtype}"
            for name, found, tensor in both
            if found.is_floating_point() != tensor.is_floating_point() or found.is_complex()
        ],
        "with NaN": listed(weights, lambda value: bool(value.isnan().any())),
        "with infinity": listed(weights, lambda value: bool(value.isinf().any())),
    }


def in_words(misfits: Mapping[str, Sequence[str]]) -> str:
    """What does not fit, for an error; empty: everything does."""
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in misfits.items() if names)


def listed(weights: Mapping[str, Tensor], is_wrong: Callable[[Tensor], bool]) -> list[str]:
    return [name for name, value in weights.items() if value.is_floating_point() and is_wrong(value)]


def untied(weights: Mapping[str, Tensor], model: nn.Module) -> list[str]:
    """Names that are the same tensor in the model, but have different values in the file."""
    first: dict[int, str] = {}
    wrong = []
    for name, parameter in model.named_parameters(remove_duplicate=False):
        other = first.setdefault(id(parameter), name)
        both = other != name and name in weights and other in weights
        if both and not torch.equal(weights[name], weights[other]):
            wrong.append(f"{other} and {name}")
    return wrong
