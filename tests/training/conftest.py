"""The oracles: numbers that the released code gave. See tests/oracles/README.md."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from tests.oracles import detfill
from tests.support.paths import ORACLES


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tests run in parallel processes; and the last bits of a sum depend on the number of threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def oracles() -> Path:
    return ORACLES


@pytest.fixture(scope="session")
def fill() -> ModuleType:
    """The generator of the tensors and clips that the oracles were made with."""
    return detfill


def unlike_the_oracles(oracles: Path, encoder: str, weights: Mapping[str, Tensor]) -> list[str]:
    """Names of the filled weights whose checksums differ from the original's."""
    checksums = json.loads((oracles / "encoders_meta.json").read_text())[f"{encoder}_checksums"]
    return [
        name
        for name, checksum in checksums.items()
        if hashlib.sha256(weights[name].contiguous().numpy().tobytes()).hexdigest() != checksum
    ]
