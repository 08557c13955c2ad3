"""Where the tests find this repository, its oracles, and the real data that some tests read when present."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
ORACLES = ROOT / "tests" / "oracles"
# Other people's data is not part of the repository. A test that reads it skips where it is missing.
SHARED = ROOT.parent / "shared"
DATA = SHARED / "data"
