"""Where a training's files are: the next run never changes what a row refers to, whatever happens to it."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from safetensors.torch import load_file

from tests.support.paths import ROOT
from tests.training.training.test_resume import SETTINGS, clips, manifest_of, same  # noqa: F401
from tests.training.training.training_places import start_training
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore, with_set_version
from wavcaps_training.executor.locks import try_lock
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT
from wavcaps_training.settings.training import TrainingSettings
from wavcaps_training.tables import CHECKPOINT
from wavcaps_training.tasks.base import TrainingError
from wavcaps_training.training import checkpoint_table
from wavcaps_training.training.checkpoint_table import LOCK, AlreadyTraining, Place, train_experiment
from wavcaps_training.training.launching import LaunchError
from wavcaps_training.training.result import RESULT, WEIGHTS
from wavcaps_training.training.state import STATE, saved_step

pytestmark = pytest.mark.slow

KEY = list(DEMO_EXPERIMENT.key)
ONE_EPOCH = SETTINGS.model_copy(update={"epochs": 1})


@pytest.fixture
def store(clips: Path, tmp_path: Path) -> Path:  # noqa: F811
    """A store with the clips' audio."""
    root = tmp_path / "store"
    root.mkdir()
    for path in clips.glob("*.flac"):
        (root / path.name).symlink_to(path)
    return root


def place_of(store: Path, devices: int = 1) -> Place:
    return Place(str(store), store.parent / "work", devices=devices)


def train(clips: Path, store: Path, settings: TrainingSettings) -> pa.Table:  # noqa: F811
    return train_experiment(DEMO_EXPERIMENT, settings, manifest_of(clips), place_of(store))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What our packages log from INFO up."""
    caplog.set_level(logging.INFO, "wavcaps_training")
    return caplog


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_does_not_change_what_the_row_refers_to(
    clips: Path,  # noqa: F811
    store: Path,
    log: pytest.LogCaptureFixture,
) -> None:
    table = train(clips, store, ONE_EPOCH)
    TableStore(Store(store)).write(KEY, None, table)
    (row,) = table.to_pylist()
    good = (store / row["weights_path"]).parent
    assert (store / row["tensorboard_path"]).is_dir()
    before = contents(good)
    bad = ONE_EPOCH.model_copy(update={"learning_rate": 1e30, "epochs": 2})
    with pytest.raises(TrainingError):
        train(clips, store, bad)
    assert contents(good) == before
    # The same settings are trained again, in another folder.
    log.clear()
    (again,) = train(clips, store, ONE_EPOCH).to_pylist()
    assert [line for line in log.messages if line.startswith("epoch 1")]
    assert contents(good) == before
    assert again["weights_path"] != row["weights_path"]
    first, second = (load_file(store / each["weights_path"]) for each in (row, again))
    assert same(first, second)


def test_a_run_that_was_killed_when_it_was_done_is_not_run_again(
    clips: Path,  # noqa: F811
    store: Path,
    log: pytest.LogCaptureFixture,
) -> None:
    with start_training(clips, ONE_EPOCH, place_of(store), die_when_done=True) as killed:
        output, errors = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, errors
    assert "epoch 1" in output
    (row,) = train(clips, store, ONE_EPOCH).to_pylist()
    assert log.messages == ["this run is done and its row was not recorded: nothing is trained again"]
    assert [entry["epoch"] for entry in row["learning_curve"]] == [1]
    assert CHECKPOINT.from_rows([row]).num_rows == 1
    assert (store / row["weights_path"]).is_file()


def test_a_run_that_was_done_is_of_the_set_that_it_was_trained_on(
    clips: Path,  # noqa: F811
    store: Path,
    log: pytest.LogCaptureFixture,
) -> None:
    """The set may have been published again before its row is recorded, with the same clips and captions."""
    found = []
    for version in ("v1-1a2b3c4d", "v2-5e6f7a8b"):
        manifest = with_set_version(manifest_of(clips), version)
        found += train_experiment(DEMO_EXPERIMENT, ONE_EPOCH, manifest, place_of(store)).to_pylist()
    assert "nothing is trained again" in log.text
    assert [row["set_version"] for row in found] == ["v1-1a2b3c4d"] * 2
    # A run of an older version of the project did not say it.
    (path,) = store.rglob(RESULT)
    written = json.loads(path.read_text())
    del written["result"]["set_version"]
    path.write_text(json.dumps(written))
    (row,) = train_experiment(DEMO_EXPERIMENT, ONE_EPOCH, manifest, place_of(store)).to_pylist()
    assert row["set_version"] == "v2-5e6f7a8b"


def test_a_killed_run_is_resumed(
    clips: Path,  # noqa: F811
    store: Path,
    log: pytest.LogCaptureFixture,
) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 2})
    with start_training(clips, settings, place_of(store), die_after_epochs=1) as killed:
        killed.communicate()
    (row,) = train(clips, store, settings).to_pylist()
    assert "resuming from step" in log.text
    assert "epoch 1:" not in log.text
    (folder,) = (path for path in (store / "checkpoints" / DEMO_EXPERIMENT.name).iterdir() if path.is_dir())
    assert row["weights_path"] == str((folder / WEIGHTS).relative_to(store))
    assert not (folder / STATE).exists()


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from wavcaps_assets.store.storage import Store
with Store(Path(sys.argv[1])).writing("weights.safetensors") as path:
    path.write_bytes(bytes(1000))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_was_writing_is_removed(clips: Path, store: Path) -> None:  # noqa: F811
    folder = store / "checkpoints" / DEMO_EXPERIMENT.name / "another-run"
    folder.mkdir(parents=True)
    command = [sys.executable, "-c", KILLED_WHILE_WRITING, str(folder)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert len(list(folder.iterdir())) == 1
    train(clips, store, ONE_EPOCH)
    assert list(folder.iterdir()) == []
    assert not list(store.rglob(".*.part*"))


def test_two_runs_of_one_asset_are_kept_apart(
    clips: Path,  # noqa: F811
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoint_table, "PATIENCE_S", 0)
    folder = store / "checkpoints" / DEMO_EXPERIMENT.name
    folder.mkdir(parents=True)
    lock = try_lock(folder / LOCK)
    assert lock is not None
    with lock, pytest.raises(AlreadyTraining, match=r"aisfx_minilm/demo is being trained by another run"):
        train(clips, store, ONE_EPOCH)


def test_a_train_split_that_devices_cannot_share_is_refused_at_once(
    clips: Path,  # noqa: F811
    store: Path,
) -> None:
    settings = ONE_EPOCH.model_copy(update={"batch_size": 64})
    with pytest.raises(TrainingError, match=r"the train split has 32 examples, fewer than batch_size \(64\)"):
        train_experiment(DEMO_EXPERIMENT, settings, manifest_of(clips), place_of(store, devices=2))


def test_what_a_restart_cannot_fix_is_not_retried_and_keeps_its_message(
    clips: Path,  # noqa: F811
    store: Path,
) -> None:
    bad = ONE_EPOCH.model_copy(update={"learning_rate": 1e30, "epochs": 2})
    with pytest.raises(TrainingError, match=r"^the (loss|gradient) became"):
        train_experiment(DEMO_EXPERIMENT, bad, manifest_of(clips), place_of(store, devices=2))
    (store / "7.flac").unlink()
    strict = ONE_EPOCH.model_copy(update={"max_unreadable_share": 0})
    with pytest.raises(LaunchError, match=r"^clip bbc_sound_effects-7: .* is missing"):
        train_experiment(DEMO_EXPERIMENT, strict, manifest_of(clips), place_of(store, devices=2))


@pytest.mark.parametrize("killed", [False, True])
def test_processes_that_are_asked_to_stop_or_lose_their_launcher_say_where_they_are(
    clips: Path,  # noqa: F811
    store: Path,
    killed: bool,
) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 300})
    with start_training(clips, settings, place_of(store, devices=2)) as training:
        assert training.stdout is not None
        for line in training.stdout:
            if line.startswith("epoch 1:"):
                if killed:
                    (launcher,) = children(training.pid)
                    os.kill(launcher, signal.SIGKILL)
                else:
                    training.send_signal(signal.SIGTERM)
                break
        _, errors = training.communicate()
    assert "Stopped: training was asked to stop after step" in errors
    assert "materialize it again to resume from there" in errors
    (state,) = store.glob(f"checkpoints/**/{STATE}")
    assert saved_step(state) > 0


def children(process: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
