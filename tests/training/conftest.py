"""The oracles: numbers that the released code gave, outside this repository."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest
from torch import Tensor

from tests.support.paths import SHARED

ORACLES = SHARED / "oracles"


@pytest.fixture(scope="session")
def oracles() -> Path:
    if not ORACLES.is_dir():
        pytest.skip(f"the released code's numbers are not at {ORACLES}")
    return ORACLES


@pytest.fixture(scope="session")
def fill(oracles: Path) -> ModuleType:
    """The generator of the tensors and clips that the oracles were made with."""
    spec = importlib.util.spec_from_file_location("detfill", oracles / "detfill.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def unlike_the_oracles(oracles: Path, encoder: str, weights: Mapping[str, Tensor]) -> list[str]:
    """Which of some filled weights are not what the original's were filled with, by their checksums."""
    checksums = json.loads((oracles / "encoders_meta.json").read_text())[f"{encoder}_checksums"]
    return [
        name
        for name, checksum in checksums.items()
        if hashlib.sha256(weights[name].contiguous().numpy().tobytes()).hexdigest() != checksum
    ]
