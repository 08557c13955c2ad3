"""Pictures of the web UI, for people. `NIGHT_SCREENSHOTS` names the folder."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
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
FILLED_AFTER_S = 12
WIDTH, HEIGHT = 1600, 1200
# The clock of the browser, which computes durations.
SAME_CLOCK = """
const Real = Date;
Date = class extends Real {
  constructor(...given) { if (given.length) super(...given); else super(Real.now() + AHEAD); }
  static now() { return Real.now() + AHEAD; }
};"""


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
        ahead_ms = (team.clock.now() - datetime.now(UTC)) / timedelta(milliseconds=1)
        script = SAME_CLOCK.replace("AHEAD", f"{ahead_ms:.0f}")
        browser.call("Page.addScriptToEvaluateOnNewDocument", source=script)
        for name, path in pages.items():
            browser.call("Page.navigate", url=f"{team.web}{path}")
            browser.wait("document.readyState === 'complete' && location.protocol === 'http:'")
            # Some tables draw their rows when the page is drawn, and none in a picture of more than is seen.
            for _ in range(2):
                time.sleep(FILLED_AFTER_S / 2)
                shot = browser.call("Page.captureScreenshot", captureBeyondViewport=False)
            (folder / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


def of_backfill(name: str, backfill_id: str) -> dict[str, str]:
    """The page of a backfill, and that of all runs."""
    return {f"{name}_backfill": f"/runs/b/{backfill_id}", f"{name}_runs": "/runs"}
