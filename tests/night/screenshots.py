"""Pictures of the web UI at the end of a night, for people. `NIGHT_SCREENSHOTS` names the folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.night.installation import Installation

PAGES = {
    "runs": "/runs",
    "graph": "/asset-groups",
    "automation": "/automation",
    "version": "/assets/wavcaps?view=overview",
    "status": "/assets/status?view=overview",
}


def take(team: Installation) -> None:
    """Takes the pictures, if a folder is named and Chromium is installed."""
    folder, chromium = os.environ.get("NIGHT_SCREENSHOTS"), shutil.which("chromium")
    if not folder or not chromium:
        return
    for name, path in PAGES.items():
        picture = Path(folder) / f"{name}.png"
        with TemporaryDirectory() as profile:
            command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1600,1200"]
            command += [f"--user-data-dir={profile}", "--timeout=20000", f"--screenshot={picture}"]
            subprocess.run([*command, f"{team.web}{path}"], check=False, capture_output=True, timeout=120)
