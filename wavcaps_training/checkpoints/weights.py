"""The weights of a model, as checkpoints and saved states store them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

OS_ERROR = re.compile(r"os error (\d+)")


def tied_names(model: nn.Module) -> dict[str, str]:
    """Names of parameters that are the same tensor as an earlier one, and the earlier name."""
    first: dict[int, str] = {}
    return {
        name: first[id(parameter)]
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if first.setdefault(id(parameter), name) != name
    }


def weights_sha256(weights: Mapping[str, Tensor]) -> str:
    """A hash of weights with their names, types and shapes; their order does not matter."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name]
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def as_os_error(error: SafetensorError) -> OSError:
    """The operating system's error that safetensors wraps when it cannot write."""
    code = OS_ERROR.search(str(error))
    return OSError(int(code[1]), os.strerror(int(code[1]))) if code else OSError(str(error))
