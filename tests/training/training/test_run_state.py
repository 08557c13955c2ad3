"""What is saved of a run, and what is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from tests.training.training.test_resume import SETTINGS, clips, manifest_of, warnings_in  # noqa: F401
from wavcaps_assets.show.progress import Facts, NoProgress
from wavcaps_training.checkpoints.checkpoint import CheckpointError
from wavcaps_training.data import AudioFolder
from wavcaps_training.settings.training import Objective
from wavcaps_training.training.reporting import epoch_facts
from wavcaps_training.training.state import PROGRESS_KEY, STATE, Position, RunState
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
