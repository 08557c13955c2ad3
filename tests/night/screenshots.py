"""Pictures of the web UI, for people. `NIGHT_SCREENSHOTS` names the folder."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.night.installation import Installation
from tests.validation.browser import CHROMIUM, browsing

OF_A_NIGHT = {
    "runs": "/runs",
    "graph": "/asset-groups",
    "automation": "/automation",
    "version": "/assets/wavcaps?view=overview",
    "status": "/assets/status?view=overview",
}
# The page fills itself after it is loaded. No event says when it is done (s).
FILLED_AFTER_S = 8
WIDTH, HEIGHT = 1600, 1200


def take(team: Installation, pages: Mapping[str, str]) -> None:
    """Takes pictures of pages, if a folder is named and Chromium is installed.

    Args:
        pages: their paths, by the names of the pictures.
    """
    named = os.environ.get("NIGHT_SCREENSHOTS")
    if not named or not CHROMIUM:
        return
    folder = Path(named)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as profile, browsing(Path(profile), folder) as browser:
        browser.resize(WIDTH, HEIGHT)
        for name, path in pages.items():
            browser.call("Page.navigate", url=f"{team.web}{path}")
            browser.wait("document.readyState === 'complete' && location.protocol === 'http:'")
            time.sleep(FILLED_AFTER_S)
            browser.picture(folder / f"{name}.png", WIDTH, HEIGHT)


def of_backfill(name: str, backfill_id: str) -> dict[str, str]:
    """The page of a backfill, and that of all runs."""
    return {f"{name}_backfill": f"/runs/b/{backfill_id}", f"{name}_runs": "/runs"}
