"""`python -m wavcaps_assets.checks MANIFEST`: the command `wavcaps check`."""

from __future__ import annotations

from wavcaps_assets.checks.command import check

if __name__ == "__main__":
    check(prog_name="python -m wavcaps_assets.checks")
