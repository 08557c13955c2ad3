"""Trainings of an experiment in their own processes, for tests that kill them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT
from wavcaps_training.settings.training import TrainingSettings
from wavcaps_training.training.checkpoint_table import Place

PROGRAM = """
import json, logging, os, signal, sys
from pathlib import Path
import pyarrow.parquet as pq, torch
from wavcaps_training.training import checkpoint_table
from wavcaps_training.training import result as training_result
from wavcaps_training.training.checkpoint_table import Place, train_experiment
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT
from wavcaps_training.settings.training import TrainingSettings
from wavcaps_assets.show.progress import NoProgress
torch.set_num_threads(1)
logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
asked = json.loads(sys.argv[1])
checkpoint_table.PATIENCE_S = 0
def die(): os.kill(os.getpid(), signal.SIGKILL)
class Die(NoProgress):
    def record(self, facts):
        if facts["epoch"] == asked["die_after_epochs"]:
            die()
if asked["die_when_done"]:
    write = training_result.TrainingResult.write
    training_result.TrainingResult.write = lambda self, run: (write(self, run), die())
place = {**asked["place"], "work": Path(asked["place"]["work"])}
settings = TrainingSettings.model_validate(asked["settings"])
manifest = pq.read_table(asked["manifest"])
table = train_experiment(DEMO_EXPERIMENT, settings, manifest, Place(**place), progress=Die())
print("row " + json.dumps(table.to_pylist()[0]))
"""


def start_training(
    clips: Path,
    settings: TrainingSettings,
    place: Place,
    *,
    die_after_epochs: int = 0,
    die_when_done: bool = False,
) -> subprocess.Popen[str]:
    """Starts a training of the demo's experiment. It prints the row that it makes.

    Args:
        clips: the folder of `test_resume.clips`.
        die_after_epochs: it is killed when this epoch is done; 0: it is not killed.
        die_when_done: it is killed between the end of the training and everything after it.
    """
    asked = {
        "manifest": str(clips / "manifest.parquet"),
        "settings": settings.model_dump(mode="json"),
        "place": {**asdict(place), "work": str(place.work)},
        "die_after_epochs": die_after_epochs,
        "die_when_done": die_when_done,
    }
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps(asked)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def row_of(training: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    """The row that a training made, and everything that it printed."""
    output, errors = training.communicate()
    assert training.returncode == 0, errors
    (line,) = (line for line in output.splitlines() if line.startswith("row "))
    row: dict[str, Any] = json.loads(line.removeprefix("row "))
    return row, output
