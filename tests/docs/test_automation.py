"""What the GitHub workflow and the commit hooks run exists here."""

from __future__ import annotations

import os
import shutil

import yaml

from tests.support.paths import ROOT


def test_the_workflow_runs_what_is_in_the_repository() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    own = [command.split()[0] for command in commands if not command.startswith("sudo apt-get")]
    assert own and all(os.access(ROOT / command, os.X_OK) for command in own), own


def test_the_hooks_are_of_the_environment() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    programs = {hook["entry"].split()[0] for hook in hooks}
    assert programs == {".venv/bin/ruff"}
    assert all(shutil.which(str(ROOT / program)) for program in programs)
