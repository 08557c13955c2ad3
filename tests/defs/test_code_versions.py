"""Edits of this project's own code, in a copy, and the assets whose code has another version then.

The sets are written down from what the code does: which stages apply a rule, read a prompt, run a network.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from wavcaps_assets.definitions import build
from wavcaps_assets.settings import Settings
from wavcaps_assets.versions.code import PACKAGES
from wavcaps_assets.versions.plumbing import PLUMBING
from wavcaps_training.definitions import build as build_training
from wavcaps_training.paper.experiments import EXPERIMENTS, Experiment
from wavcaps_training.paper.released import RELEASED_MODELS, ReleasedModel
from wavcaps_training.scoring.tasks import known_tasks

SOURCES = ("freesound", "bbc_sound_effects", "soundbible", "audioset_sl")
# Stage 3 applies all rules. The set is published only if its captions pass the quality checks, which do so
# too. The report names them.
# Further captions are asked about as in stage 2, and judged as in stage 3.
FURTHER = {"other_captions"}
RULES = {"captions", "wavcaps", "report"} | FURTHER
STAGE_2 = {"llm_captions", "caption_comparison"} | FURTHER
OF_SEARCH = ("search_index", "query_scores")
TRAINED: list[Experiment | ReleasedModel] = [one for one in EXPERIMENTS if one.setting != "demo"]
# Each with its scores on all benchmarks, and its index.
CHECKPOINTS = {
    "/".join(key)
    for one in (*TRAINED, *RELEASED_MODELS)
    for key in (
        one.key,
        *(
            task.scores_key(benchmark, "/".join(one.key[1:]))
            for task in known_tasks()
            if task.models == one.settings().task
            for benchmark in task.benchmarks
        ),
        *((what, *one.key[1:]) for what in OF_SEARCH if one.settings().task == "retrieval"),
    )
}
# Table VIII's models, each trained with its two conditions.
OF_SOUND = [one for one in TRAINED if isinstance(one, Experiment) and one.parts is not None]
SOUNDS = {"/".join(("generated_sounds", *one.key[1:])) for one in OF_SOUND}
LATENTS = {"/".join(one.latents_key or ()) for one in OF_SOUND}
CNN14 = {name for name in CHECKPOINTS if "/cnn14_" in name}
RULE_FILES, PROMPTS = "wavcaps_assets/rules", "wavcaps_assets/captioning/prompts"
# A file, a text in it, what replaces it, and the assets that this concerns with live sources.
EDITS: dict[str, tuple[str, str, str, set[str]]] = {
    "a rule's threshold": (
        f"{RULE_FILES}/strict_rules.py",
        "REPEATED_WORDS = 6",
        "REPEATED_WORDS = 7",
        RULES,
    ),
    "a rule's complaint": (f"{RULE_FILES}/strict_rules.py", "It only repeats", "It repeats", RULES),
    "a rule for the answers of stage 2": (
        f"{RULE_FILES}/sentence_rules.py",
        "is_failure(reading.caption) or is_refusal(reading.caption)",
        "is_failure(reading.caption)",
        RULES | STAGE_2,
    ),
    "a rule's docstring, comments and formatting": (
        f"{RULE_FILES}/strict_rules.py",
        '    """The caption is the raw text or its first sentence, word by word."""\n',
        "    # The same words.\n\n",
        set(),
    ),
    "a word list's comment": (f"{RULE_FILES}/words.toml", "# Words about a clip", "# Words on a clip", set()),
    "a prompt": (f"{PROMPTS}/paper.toml", 'text = """', 'text = """Please. ', RULES | STAGE_2),
    "a prompt's comment": (
        f"{PROMPTS}/paper.toml",
        "[sources.freesound]",
        "# Free.\n[sources.freesound]",
        set(),
    ),
    "a prompt of second questions": (
        f"{PROMPTS}/second/paper.toml",
        'instruction = """',
        'instruction = """Please. ',
        RULES - FURTHER,
    ),
    "the rule on words of time": (
        f"{RULE_FILES}/time_rules.py",
        "TOLERANCE_S = 0.1",
        "TOLERANCE_S = 0.2",
        RULES,
    ),
    "captions in temporal order": (
        "wavcaps_assets/captioning/floor/temporal.py",
        "BACKGROUND_SHARE = 0.9",
        "BACKGROUND_SHARE = 0.8",
        STAGE_2,
    ),
    # The rule on words of time finds labels by them.
    "the words for a label": (
        "wavcaps_assets/captioning/floor/label_phrases.csv",
        "a dog is barking",
        "a dog is yapping",
        RULES - {"report"} | STAGE_2,
    ),
    "a filter's default": (
        "wavcaps_assets/filtering/settings.py",
        "min_duration_s: float = Field(\n        1.0",
        "min_duration_s: float = Field(\n        2.0",
        {"filtered_clips"},
    ),
    "one source": (
        "wavcaps_assets/sources/soundbible.py",
        "MAX_STRANGE_IN_A_ROW = ",
        "MAX_STRANGE_IN_A_ROW = 1 + ",
        {"soundbible/raw_clips", "soundbible/audio"},
    ),
    "how crawls are compared": (
        "wavcaps_assets/crawl/changes.py",
        "MAX_GONE_SHARE = 0.1",
        "MAX_GONE_SHARE = 0.2",
        {f"{source}/raw_clips" for source in SOURCES},
    ),
    "a measurement of audio": (
        "wavcaps_assets/audio/measures.py",
        "FULL_SCALE = 32_768",
        "FULL_SCALE = 32_767",
        # A generated sound is hashed as a clip is.
        {f"{source}/audio" for source in SOURCES} | SOUNDS,
    ),
    "prices": (
        "wavcaps_assets/llm/prices.toml",
        "source = ",
        'read = "today"\nsource = ',
        {"llm_costs", "status"},
    ),
    "how requests are sent": (
        "wavcaps_assets/network/client.py",
        "import time\n",
        "import time as clock\nimport time\n",
        set(),
    ),
    "one network": (
        "wavcaps_training/models/cnn14.py",
        "steps = image.mean(dim=3)",
        "steps = image.mean(dim=2)",
        # The report, and scores of files, read checkpoints of any model.
        CNN14 | {"report", "scores/files"},
    ),
    "the front end of all networks": (
        "wavcaps_training/models/features.py",
        "FLOOR = 1e-10",
        "FLOOR = 1e-9",
        CHECKPOINTS | SOUNDS | LATENTS | {"scores/retrieval", "scores/files", "report", "worth"},
    ),
}


@pytest.mark.slow
def test_an_edit_concerns_exactly_the_assets_that_use_it(tmp_path: Path) -> None:
    for name in (*PACKAGES, "tests/support"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    live = {"WAVCAPS_SOURCES": "live", "WAVCAPS_SOURCE_NAMES": ",".join(SOURCES)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.edited_code"],
        input=json.dumps([edit[:3] for edit in EDITS.values()]),
        cwd=tmp_path,
        env={**os.environ, **live, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = dict(zip(EDITS, map(set, json.loads(done.stdout)), strict=True))
    assert found == {name: edit[3] for name, edit in EDITS.items()}


def versions(settings: Settings) -> dict[str, str | None]:
    graph = build(settings).resolve_asset_graph()
    return {key.to_user_string(): graph.get(key).code_version for key in graph.materializable_asset_keys}


def test_every_asset_of_both_code_locations_has_a_version() -> None:
    assert None not in versions(Settings()).values()
    training = build_training(Settings()).resolve_asset_graph()
    assert all(training.get(key).code_version for key in training.materializable_asset_keys)


def test_the_users_own_files_count(tmp_path: Path) -> None:
    files = {
        "prompts/mine.toml": "a = 1",
        "prompts/second/mine.toml": "a = 1",
        "quality.toml": "",
        "prices.toml": "",
    }
    (tmp_path / "prompts" / "second").mkdir(parents=True)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    settings = Settings(prompts=str(tmp_path / "prompts"), quality=str(tmp_path / "quality.toml"))
    settings.llm = settings.llm.model_copy(update={"prices": tmp_path / "prices.toml"})
    before = versions(settings)
    changed = {}
    for name, text in files.items():
        (tmp_path / name).write_text("a = 2")
        after = versions(settings)
        changed[name] = {key for key in before if before[key] != after[key]}
        (tmp_path / name).write_text(text)
    rules = RULES - {"report"}
    assert changed == {
        "prompts/mine.toml": rules | STAGE_2,
        "prompts/second/mine.toml": rules - FURTHER,
        "quality.toml": {"wavcaps"},
        "prices.toml": {"llm_costs", "status"},
    }


def test_what_does_not_count_exists() -> None:
    for name in PLUMBING:
        path = ROOT / name.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), name
