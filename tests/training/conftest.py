"""The oracles: numbers that the released code gave, outside this repository."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ORACLES = Path(__file__).parents[2].parent / "shared" / "oracles"


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
