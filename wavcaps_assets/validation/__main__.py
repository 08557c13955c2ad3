"""`python -m wavcaps_assets.validation draw`, later `... score FOLDER`: the command `wavcaps rate`."""

from __future__ import annotations

from wavcaps_assets.validation.command import rate

if __name__ == "__main__":
    rate(prog_name="python -m wavcaps_assets.validation")
