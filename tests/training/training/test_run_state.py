"""What is saved of a run, and what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from tests.training.training.test_resume import SETTINGS, clips, manifest_of  # noqa: F401
from wavcaps_training.checkpoints.files import CheckpointError
from wavcaps_training.data import AudioFolder
from wavcaps_training.settings.training import Objective
from wavcaps_training.training.state import PROGRESS_KEY, STATE, Progress, RunState
from wavcaps_training.training.train import train

# 32 clips.
STEPS_PER_EPOCH = 4


class Killed(BaseException):
    """Stands in for a kill in this process: nothing catches it."""


def test_weights_that_are_no_numbers_are_not_saved(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    state = RunState(tmp_path, "run", print)
    state.save(Progress(step=1), model, optimizer)
    good = (tmp_path / STATE).read_bytes()
    with torch.no_grad():
        model.bias[0] = torch.nan
    with pytest.raises(
        CheckpointError, match=r"not finite: bias; the state after step 2 was not saved.*lower"
    ):
        state.save(Progress(step=2), model, optimizer)
    assert (tmp_path / STATE).read_bytes() == good


def test_a_state_that_does_not_fit_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    small = torch.nn.Sequential(torch.nn.Linear(2, 2))
    RunState(tmp_path, "run", print).save(Progress(step=1), small, torch.optim.Adam(small.parameters()))
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    said: list[str] = []
    progress = RunState(tmp_path, "run", said.append).load(model, torch.optim.Adam(model.parameters()))
    assert progress.step == 0
    assert "missing: 1.bias, 1.weight" in said[0]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_of_processes_that_train_together_the_first_sets_a_state_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    (tmp_path / STATE).write_bytes(b"torn")
    said: list[str] = []
    for rank in ("1", "0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert (tmp_path / STATE).exists() == (not said)
        assert RunState(tmp_path, "run", said.append).load(model, optimizer) == Progress()
    assert len(said) == 1
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"torn"]


def test_no_state_is_saved_between_the_last_step_of_an_epoch_and_its_validation(
    clips: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Lightning begins no epoch of which no batch is left, so nothing could go on from there."""
    saved: list[tuple[int, int]] = []

    def look() -> None:
        with safe_open(tmp_path / STATE, framework="pt") as file:
            progress = json.loads(file.metadata()[PROGRESS_KEY])
        saved.append((progress["epoch"], progress["batch"]))

    settings = SETTINGS.model_copy(update={"epochs": 2})
    train(manifest_of(clips), AudioFolder(clips), settings, tmp_path, after_save=look)
    assert saved == [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0)]
    assert max(batch for _, batch in saved) < STEPS_PER_EPOCH


def test_a_run_that_was_killed_when_it_would_have_stopped_early_trains_no_further(
    clips: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """A model that is not trained at all gets no better after its first epoch."""
    settings = SETTINGS.model_copy(
        update={"learning_rate": 1e-30, "early_stop_epochs": 1, "epochs": 9, "objective": Objective.PAPER}
    )
    epochs: list[dict[str, Any]] = []

    def die(entry: dict[str, Any]) -> None:
        epochs.append(entry)
        # It has been saved, and Lightning has not been told to stop.
        if len(epochs) > 1 and epochs[-1]["scores"] == epochs[-2]["scores"]:
            raise Killed

    with pytest.raises(Killed):
        train(manifest_of(clips), AudioFolder(clips), settings, tmp_path, on_epoch=die)
    result = train(manifest_of(clips), AudioFolder(clips), settings, tmp_path, on_epoch=epochs.append)
    assert result.learning_curve == epochs
    assert len(epochs) == result.best_epoch + 1
    assert result.flops_per_clip > 0
