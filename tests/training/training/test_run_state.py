"""What is saved of a run, and what is not."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tests.training.training.test_resume import SETTINGS, clips, manifest_of, same, warnings_in  # noqa: F401
from wavcaps_assets.show.progress import Facts, NoProgress
from wavcaps_training.checkpoints.checkpoint import CheckpointError
from wavcaps_training.data import AudioFolder, Batch
from wavcaps_training.settings.training import Objective
from wavcaps_training.tasks.retrieval import RetrievalTask
from wavcaps_training.training.reporting import epoch_facts
from wavcaps_training.training.run import Stopped
from wavcaps_training.training.state import PROGRESS_KEY, STATE, Position, RunState, saved_step
from wavcaps_training.training.train import RunOptions, train

# 32 clips.
STEPS_PER_EPOCH = 4


class Killed(BaseException):
    """Stands in for a kill in this process: nothing catches it."""


def test_weights_that_are_no_numbers_are_not_saved(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    state = RunState(tmp_path, "run")
    state.save(Position(step=1), model, optimizer)
    good = (tmp_path / STATE).read_bytes()
    with torch.no_grad():
        model.bias[0] = torch.nan
    with pytest.raises(
        CheckpointError, match=r"not finite: bias; the state after step 2 was not saved.*lower"
    ):
        state.save(Position(step=2), model, optimizer)
    assert (tmp_path / STATE).read_bytes() == good


def test_a_state_that_does_not_fit_leaves_the_model_as_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = torch.nn.Sequential(torch.nn.Linear(2, 2))
    RunState(tmp_path, "run").save(Position(step=1), small, torch.optim.Adam(small.parameters()))
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    position = RunState(tmp_path, "run").load(model, torch.optim.Adam(model.parameters()))
    assert position.step == 0
    assert "missing: 1.bias, 1.weight" in warnings_in(caplog)[0]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_of_processes_that_train_together_the_first_moves_a_state_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    (tmp_path / STATE).write_bytes(b"torn")
    for rank in ("1", "0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert (tmp_path / STATE).exists() == (not warnings_in(caplog))
        assert RunState(tmp_path, "run").load(model, optimizer) == Position()
    assert len(warnings_in(caplog)) == 1
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"torn"]


@pytest.mark.slow
def test_no_state_is_saved_between_the_last_step_of_an_epoch_and_its_validation(
    clips: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Lightning begins no epoch of which no batch is left, so nothing could go on from there."""
    saved: list[tuple[int, int]] = []

    class Look:
        def save(self) -> None:
            with safe_open(tmp_path / STATE, framework="pt") as file:
                position = json.loads(file.metadata()[PROGRESS_KEY])
            saved.append((position["epoch"], position["batch"]))

    settings = SETTINGS.model_copy(update={"epochs": 2})
    train(manifest_of(clips), AudioFolder(clips), settings, tmp_path, RunOptions(copy=Look()))
    assert saved == [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0)]
    assert max(batch for _, batch in saved) < STEPS_PER_EPOCH


@pytest.mark.slow
def test_a_run_that_is_asked_to_stop_in_a_validation_is_saved_first(
    clips: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It does not wait for the end of the validation, and trains no step twice."""
    settings = SETTINGS.model_copy(update={"epochs": 3, "batch_size": 4, "save_every_steps": None})
    data = manifest_of(clips), AudioFolder(clips), settings
    unbroken = train(*data, tmp_path / "unbroken")
    validated: list[int] = []
    validate = RetrievalTask.validate

    def stop_in_second_epoch(self: RetrievalTask, batch: Batch) -> None:
        validate(self, batch)
        validated.append(self.epoch)
        if validated == [0, 0, 1]:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(RetrievalTask, "validate", stop_in_second_epoch)
    with pytest.raises(Stopped, match="after step 16, in epoch 2"):
        train(*data, tmp_path / "broken")
    assert validated == [0, 0, 1]
    assert saved_step(tmp_path / "broken" / STATE) == 16
    resumed = train(*data, tmp_path / "broken")
    # The interrupted validation is repeated from its start.
    assert validated == [0, 0, 1, 1, 1, 2, 2]
    assert [entry["epoch"] for entry in resumed.learning_curve] == [1, 2, 3]
    for ours, theirs in zip(resumed.learning_curve, unbroken.learning_curve, strict=True):
        assert {**ours, "seconds": 0, "clips_per_second": 0} == {
            **theirs,
            "seconds": 0,
            "clips_per_second": 0,
        }
    assert same(load_file(resumed.weights), load_file(unbroken.weights))


@pytest.mark.slow
def test_a_run_that_was_killed_when_it_would_have_stopped_early_trains_no_further(
    clips: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """A model that is not trained at all gets no better after its first epoch."""
    settings = SETTINGS.model_copy(
        update={"learning_rate": 1e-30, "early_stop_epochs": 1, "epochs": 9, "objective": Objective.PAPER}
    )
    epochs: list[Facts] = []

    class Die(NoProgress):
        def record(self, facts: Facts) -> None:
            epochs.append(facts)
            # The epoch is saved, and Lightning does not know yet that it must stop.
            if len(epochs) > 1 and epochs[-1]["recall_sum"] == epochs[-2]["recall_sum"]:
                raise Killed

    class Follow(NoProgress):
        def record(self, facts: Facts) -> None:
            epochs.append(facts)

    data = manifest_of(clips), AudioFolder(clips), settings, tmp_path
    with pytest.raises(Killed):
        train(*data, RunOptions(progress=Die()))
    result = train(*data, RunOptions(progress=Follow()))
    assert [epoch_facts(entry) for entry in result.learning_curve] == epochs
    assert len(epochs) == result.best_epoch + 1
    assert result.flops_per_clip > 0
