"""A run that is killed, and goes on: it ends with the weights of one that nobody touched."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tests.support.paths import ROOT
from tests.training.training.test_train import TINY
from wavcaps_assets.show.progress import Facts, NoProgress
from wavcaps_assets.store.storage import StoreError
from wavcaps_assets.tables import TRAINING_MANIFEST
from wavcaps_training.data import AudioFolder
from wavcaps_training.settings.training import DEMO, PAPER, RELEASED, Objective, TrainingSettings
from wavcaps_training.tasks.base import TrainingError
from wavcaps_training.training.result import WEIGHTS
from wavcaps_training.training.run import Stopped
from wavcaps_training.training.state import STATE, Position, RunState, run_id
from wavcaps_training.training.train import RunOptions, train

pytestmark = pytest.mark.slow

RATE = 32_000
# Everything that draws: masks, crops of longer clips, dropout of layers, and a learned temperature.
SETTINGS = TINY.model_copy(
    update={
        "epochs": 4,
        "save_every_steps": 1,
        "cache_log_mel": False,
        "objective": Objective.RELEASED,
        "clip": TINY.clip.model_copy(update={"seconds": 1.0}),
    }
)


class StopAfterAnEpoch(NoProgress):
    """Asks this process to stop as soon as an epoch is done."""

    def record(self, facts: Facts) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


STOPPED_AFTER_AN_EPOCH = RunOptions(progress=StopAfterAnEpoch())
PROGRAM = """
import logging, sys, pyarrow.parquet as pq, torch
from pathlib import Path
from wavcaps_training.data import AudioFolder
from wavcaps_training.settings.training import TrainingSettings
from wavcaps_training.training.train import train
from wavcaps_training.training.result import WEIGHTS
from wavcaps_training.training.run import Stopped
torch.set_num_threads(1)
logging.basicConfig(stream=sys.stdout, level=logging.INFO)
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
settings = TrainingSettings.model_validate_json((folder / "settings.json").read_text())
try:
    train(pq.read_table(folder / "manifest.parquet"), AudioFolder(folder), settings, out)
except Stopped as stopped:
    sys.exit(f"stopped: {stopped}")
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest of 40 clips, their audio and the settings."""
    folder = tmp_path_factory.mktemp("clips")
    generator = np.random.default_rng(1)
    rows = []
    for number in range(40):
        samples = np.sin(2 * np.pi * (100 + 90 * number) * np.arange(RATE + RATE // 2) / RATE) / 2
        soundfile.write(folder / f"{number}.flac", samples + generator.normal(size=len(samples)) / 50, RATE)
        rows.append(
            {
                "clip_id": f"bbc_sound_effects-{number}",
                "source": "bbc_sound_effects",
                "caption": f"A tone of {100 + 90 * number} hertz{' hums on' * (number % 4)}.",
                "other_captions": [],
                "audio_path": f"{number}.flac",
                "duration_s": 1.5,
                "recording": str(number),
                "split": "train" if number < 32 else "validation",
            }
        )
    pq.write_table(TRAINING_MANIFEST.from_rows(rows), folder / "manifest.parquet")
    (folder / "settings.json").write_text(SETTINGS.model_dump_json())
    return folder


def warnings_in(log: pytest.LogCaptureFixture) -> list[str]:
    """What our packages warned of."""
    return [
        record.getMessage()
        for record in log.records
        if record.levelno == logging.WARNING and record.name.startswith("wavcaps_")
    ]


def manifest_of(clips: Path) -> pa.Table:
    return pq.read_table(clips / "manifest.parquet")


def start(clips: Path, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(clips), str(out)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Until there is such a file, or the process has ended."""
    while not path.exists() and process.poll() is None:
        time.sleep(0.005)


@pytest.fixture(scope="module")
def unbroken(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights of a run that nobody touched."""
    out = tmp_path_factory.mktemp("unbroken")
    with start(clips, out) as process:
        _, errors = process.communicate()
    assert process.returncode == 0, errors
    return load_file(out / WEIGHTS)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def saved_step(folder: Path) -> int:
    """The step of the state in a folder; 0: there is none."""
    try:
        with safe_open(folder / STATE, framework="pt") as file:
            return int(json.loads(file.metadata()["wavcaps_training_progress"])["step"])
    except FileNotFoundError:
        return 0


def test_five_kills_change_nothing(clips: Path, unbroken: dict[str, torch.Tensor], tmp_path: Path) -> None:
    chance = random.Random(6)
    steps = [0]
    for _ in range(5):
        with start(clips, tmp_path) as process:
            # Not before it has gone on from where the one before was killed.
            while saved_step(tmp_path) == steps[-1] and process.poll() is None:
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.1))
            assert process.poll() is None, "it was done before it was killed"
            process.kill()
        steps.append(saved_step(tmp_path))
    assert steps == sorted(set(steps)), "a run did not go on from where the one before had been"
    with start(clips, tmp_path) as process:
        _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert same(load_file(tmp_path / WEIGHTS), unbroken)
    assert not (tmp_path / STATE).exists()


def test_a_run_that_is_asked_to_stop_says_where_it_is(
    clips: Path, unbroken: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    with start(clips, tmp_path) as process:
        wait_for(tmp_path / STATE, process)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
    assert "stopped: training was asked to stop after step" in errors
    with start(clips, tmp_path) as process:
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "resuming from step" in output
    assert same(load_file(tmp_path / WEIGHTS), unbroken)


def test_what_is_kept_in_memory_does_not_change_a_run_that_goes_on(clips: Path, tmp_path: Path) -> None:
    """Log-mels of crops of longer clips, and what a frozen text encoder says of captions."""
    cached = SETTINGS.model_copy(update={"cache_log_mel": True, "epochs": 3, "save_every_steps": None})
    assert cached.model.text.frozen
    broken, whole = tmp_path / "broken", tmp_path / "whole"

    with pytest.raises(Stopped, match="to resume from there"):
        train(manifest_of(clips), AudioFolder(clips), cached, broken, STOPPED_AFTER_AN_EPOCH)
    went_on = train(manifest_of(clips), AudioFolder(clips), cached, broken)
    unbroken = train(manifest_of(clips), AudioFolder(clips), cached, whole)
    assert len(went_on.learning_curve) == 3
    assert same(load_file(went_on.weights), load_file(unbroken.weights))


@pytest.fixture
def half_done(clips: Path, tmp_path: Path) -> Path:
    """A folder with the state of a run that was stopped in its first epoch."""
    with pytest.raises(Stopped, match="to resume from there"):
        train(manifest_of(clips), AudioFolder(clips), SETTINGS, tmp_path, STOPPED_AFTER_AN_EPOCH)
    return tmp_path


def test_the_state_of_another_run_is_moved_away(
    clips: Path, half_done: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = (half_done / STATE).read_bytes()
    other = SETTINGS.model_copy(update={"epochs": 1, "seed": 7})
    train(manifest_of(clips), AudioFolder(clips), other, half_done)
    (moved,) = half_done.glob("state.*.safetensors")
    assert moved.read_bytes() == before
    (warning,) = warnings_in(caplog)
    assert "belongs to a run with other settings" in warning
    assert str(moved) in warning


def test_settings_without_effect_on_the_result_keep_a_runs_progress(
    clips: Path, half_done: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "wavcaps_training")
    step = saved_step(half_done)
    changes = {"loader_workers": 1, "save_every_steps": 3, "micro_batch_size": 4}
    other = SETTINGS.model_copy(update=changes)
    result = train(manifest_of(clips), AudioFolder(clips), other, half_done)
    assert f"resuming from step {step}" in caplog.text
    assert len(result.learning_curve) == SETTINGS.epochs
    assert not list(half_done.glob("state.*.safetensors"))


def test_only_settings_with_an_effect_make_another_run() -> None:
    ids = {
        run_id(SETTINGS.model_copy(update=change), "manifest", None)
        for change in (
            {},
            {"loader_workers": 4},
            {"save_every_steps": None},
            {"compile": True},
            {"micro_batch_size": 2},
        )
    }
    assert len(ids) == 1
    assert run_id(SETTINGS.model_copy(update={"seed": 21}), "manifest", None) not in ids


def test_a_run_of_an_older_version_keeps_its_identity() -> None:
    """As that version computed it for the demo's settings."""
    assert (
        run_id(DEMO, "manifest", None) == "381d74861304e70b64bed3ee758d2dafaf4cfa1c1a0ebc50518afbb8c892bd97"
    )
    assert (
        run_id(RELEASED, "manifest", None)
        == "b1eb72422bff323d1986e47b4e78fd058639fce2175394acc5abdee3a949636e"
    )
    # Its batches have changed.
    assert (
        run_id(PAPER, "manifest", None) != "92331e5959fed80ef4bd9b7bcbf211975e6806abe5da43cd57522bfe4a33783c"
    )


def test_a_state_that_is_cut_short_is_moved_away(
    clips: Path, half_done: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = half_done / STATE
    path.write_bytes(path.read_bytes()[:1000])
    settings = SETTINGS.model_copy(update={"epochs": 1})
    train(manifest_of(clips), AudioFolder(clips), settings, half_done)
    (warning,) = warnings_in(caplog)
    assert "cannot be read" in warning
    assert (half_done / WEIGHTS).exists()


def test_a_loss_that_breaks_leaves_the_last_good_checkpoint(clips: Path, tmp_path: Path) -> None:
    good = SETTINGS.model_copy(update={"epochs": 1})
    train(manifest_of(clips), AudioFolder(clips), good, tmp_path)
    before = (tmp_path / WEIGHTS).read_bytes()
    bad = SETTINGS.model_copy(update={"learning_rate": 1e30, "warmup_epochs": 0.0})
    with pytest.raises(TrainingError, match="the last saved state are unchanged"):
        train(manifest_of(clips), AudioFolder(clips), bad, tmp_path)
    assert (tmp_path / WEIGHTS).read_bytes() == before


def test_a_full_disk_leaves_the_state_before(clips: Path, tmp_path: Path) -> None:
    """`/dev/full` cannot be renamed over, so a limit on the size of files stands in for it."""
    import resource

    model = torch.nn.Linear(300, 300)
    optimizer = torch.optim.Adam(model.parameters())
    state = RunState(tmp_path, "run")
    state.save(Position(step=1), model, optimizer)
    before = (tmp_path / STATE).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StoreError, match="free some space"):
            state.save(Position(step=2), model, optimizer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert (tmp_path / STATE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [STATE]


def test_early_stop(clips: Path, tmp_path: Path) -> None:
    """A model that is not trained at all gets no better after its first epoch."""
    settings: TrainingSettings = SETTINGS.model_copy(
        update={"learning_rate": 1e-30, "early_stop_epochs": 2, "epochs": 9, "objective": Objective.PAPER}
    )
    result = train(manifest_of(clips), AudioFolder(clips), settings, tmp_path)
    assert len(result.learning_curve) == result.best_epoch + 2
