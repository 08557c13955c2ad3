"""The recipe of CONTRIBUTING.md for a rule, followed on a copy of the package: one file and one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

RULE = """
from wavcaps_assets.rules.reading import Reading
from wavcaps_assets.rules.rule import Rule


def weather(reading: Reading) -> str | None:
    return next((word for word in reading.words if word in ("sunny", "foggy")), None)


RULES = (Rule("weather", weather, "It speaks of {detail} weather.", presets=("paper", "strict")),)
"""
# Written before the rule was added, with complaints for some of the other rules.
OLD_PROMPT = """
instruction = "Again."
examples = []
[complaints]
digits = "No {detail}."
"""
USE = """
import json
from wavcaps_assets.captioning.prompts import Form
from wavcaps_assets.captioning.refining import Rejected
from wavcaps_assets.captioning.second_questions import load_second_prompt
from wavcaps_assets.checks.quality_settings import QualitySettings
from wavcaps_assets.rules.judging import Candidate, judge
from wavcaps_assets.rules.settings import RULE_PRESETS

(judged,) = judge([Candidate("A sunny dog is barking 3 times.", "dog")], RULE_PRESETS["paper"])
rejected = Rejected("dog", judged.caption, tuple(judged.complaints))
print(json.dumps({
    "findings": [[one.rule, one.verdict, one.detail] for one in judged.findings],
    "wrong": {
        name: json.loads(load_second_prompt(name, Form.SINGLE).line(rejected, 100))["wrong"]
        for name in ("paper", "mine")
    },
    "presets": [name for name, rules in RULE_PRESETS.items() if "weather" in rules.enabled],
    "checked": "weather" in QualitySettings().rules.enabled,
}))
"""


def _copy_of_the_package(place: Path) -> Path:
    """The package with a copy of `rules/`, and links to everything else."""
    package = place / "wavcaps_assets"
    (package / "rules").mkdir(parents=True)
    for entry in (ROOT / "wavcaps_assets").iterdir():
        if entry.name not in ("rules", "__pycache__"):
            (package / entry.name).symlink_to(entry)
    for entry in (ROOT / "wavcaps_assets" / "rules").iterdir():
        if entry.is_file():
            (package / "rules" / entry.name).write_bytes(entry.read_bytes())
    return package / "rules"


@pytest.mark.slow
def test_a_new_rule_is_one_file_and_one_line(tmp_path: Path) -> None:
    rules = _copy_of_the_package(tmp_path)
    (rules / "weather_rules.py").write_text(RULE)
    table = (rules / "table.py").read_text()
    assert table.count('    "strict_rules",\n') == 1
    (rules / "table.py").write_text(
        table.replace('    "strict_rules",\n', '    "strict_rules",\n    "weather_rules",\n')
    )
    (tmp_path / "prompts" / "second").mkdir(parents=True)
    (tmp_path / "prompts" / "second" / "mine.toml").write_text(OLD_PROMPT)
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "WAVCAPS_PROMPTS": str(tmp_path / "prompts")}
    ran = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["findings"] == [["digits", "ask_again", "3"], ["weather", "ask_again", "sunny"]]
    assert found["wrong"] == {
        "paper": "It holds the figure “3”. It speaks of sunny weather.",
        "mine": "No 3. It speaks of sunny weather.",
    }
    assert found["presets"] == ["paper", "strict"]
    assert found["checked"]
