"""Where the tests find this repository, and the real data that some of them read when it is at hand."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
# Data of others is not part of the repository: a test that reads it skips where it is missing.
SHARED = ROOT.parent / "shared"
DATA = SHARED / "data"
