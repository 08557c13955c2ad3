"""Several processes train as one does: real ones, by torchrun, over gloo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support.paths import ROOT
from tests.training.training.test_resume import SETTINGS, clips, manifest_of  # noqa: F401
from tests.training.training.test_train import TINY
from wavcaps_assets.show.progress import Facts, NoProgress
from wavcaps_assets.tables import TRAINING_MANIFEST
from wavcaps_training.data import Batch, Clip
from wavcaps_training.models.cnn14 import Cnn14
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.settings.encoders.cnn14 import Cnn14Settings
from wavcaps_training.settings.training import Objective, TrainingSettings
from wavcaps_training.tasks.gradient_caching import cached_parts
from wavcaps_training.tasks.retrieval import RetrievalTask
from wavcaps_training.training.launching import LaunchError, launch
from wavcaps_training.training.result import RESULT, WEIGHTS
from wavcaps_training.training.state import STATE
from wavcaps_training.training.worker import EPOCHS, WORKER, EpochReader, Job, write_job

pytestmark = pytest.mark.slow

# Batch normalisation and masks see a process's share alone; without them, shares add up to the whole.
TOGETHER = SETTINGS.model_copy(update={"epochs": 2})
# A clip without a file.
LOST = 7


def write_job_for(clips: Path, out: Path, settings: TrainingSettings) -> None:  # noqa: F811
    out.mkdir(exist_ok=True)
    rows = manifest_of(clips).to_pylist()
    # Only one of the processes reads this clip.
    rows[LOST]["audio_path"] = "lost.flac"
    manifest = TRAINING_MANIFEST.from_rows(rows)
    write_job(Job(settings=settings, store=str(clips), output=out, cuda=False), manifest, out)


GRADIENTS = """
import sys, torch, torch.distributed as dist
from safetensors.torch import load_file, save_file
from wavcaps_training.tasks.gathering import gathered
from wavcaps_training.tasks.losses import objective_loss
from wavcaps_training.settings.training import Objective
dist.init_process_group("gloo")
rank, world = dist.get_rank(), dist.get_world_size()
given = load_file(sys.argv[1] + "/given.safetensors")
names = ["a", "b", "c", "a", "d", "e"]
share = slice(rank * 3, rank * 3 + 3)
for objective in Objective:
    linear = torch.nn.Linear(8, 8)
    linear.load_state_dict({"weight": given["weight"], "bias": given["bias"]})
    model = torch.nn.parallel.DistributedDataParallel(linear)
    audio = torch.nn.functional.normalize(model(given["audio"][share]), dim=1)
    text = torch.nn.functional.normalize(given["text"][share], dim=1)
    loss = objective_loss(objective, *gathered(audio, text, names[share]), torch.tensor(0.07))
    loss.backward()
    if rank == 0:
        save_file({"loss": loss.detach(), "weight": linear.weight.grad, "bias": linear.bias.grad},
                  sys.argv[1] + f"/{objective.value}.safetensors")
dist.destroy_process_group()
"""


def test_gathered_negatives_have_the_gradients_of_one_process(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from wavcaps_training.tasks.losses import objective_loss

    torch.manual_seed(0)
    linear = torch.nn.Linear(8, 8)
    given = {"audio": torch.randn(6, 8), "text": torch.randn(6, 8), **linear.state_dict()}
    save_file(given, tmp_path / "given.safetensors")
    (tmp_path / "gradients_of_two.py").write_text(GRADIENTS)
    launch(["gradients_of_two", str(tmp_path)], 2, print, environment={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    for objective in Objective:
        linear.zero_grad()
        audio = torch.nn.functional.normalize(linear(given["audio"]), dim=1)
        text = torch.nn.functional.normalize(given["text"], dim=1)
        names = ["a", "b", "c", "a", "d", "e"]
        loss = objective_loss(objective, audio, text, names, torch.tensor(0.07))
        loss.backward()
        found = load_file(tmp_path / f"{objective.value}.safetensors")
        assert found["loss"] == pytest.approx(loss.item(), rel=1e-6)
        for name, parameter in linear.named_parameters():
            assert parameter.grad is not None
            assert torch.allclose(found[name], parameter.grad, rtol=1e-5, atol=1e-7), (objective, name)


def test_an_epoch_is_passed_on_once_and_only_when_its_line_is_complete(tmp_path: Path) -> None:
    recorded: list[Facts] = []

    class Recorded(NoProgress):
        def record(self, facts: Facts) -> None:
            recorded.append(facts)

    reader = EpochReader(tmp_path, Recorded())
    reader.pass_on()
    (tmp_path / EPOCHS).write_text('{"epoch": 1, "R@1": 3.5}\n{"epo')
    reader.pass_on()
    assert recorded == [{"epoch": 1, "R@1": 3.5}]
    (tmp_path / EPOCHS).write_text('{"epoch": 1, "R@1": 3.5}\n{"epoch": 2, "R@1": 4}\n')
    reader.pass_on()
    reader.pass_on()
    assert recorded == [{"epoch": 1, "R@1": 3.5}, {"epoch": 2, "R@1": 4}]


def test_a_rank_that_dies_is_restarted_and_the_run_ends_as_it_would_have(
    clips: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    results = {}
    for name, restarts in (("whole", 0), ("broken", 2)):
        out = tmp_path / name
        write_job_for(clips, out, TOGETHER)
        lines: list[str] = []
        killed: list[int] = []

        def on_line(line: str, out: Path = out, name: str = name, killed: list[int] = killed) -> None:
            lines.append(line)  # noqa: B023
            if name == "broken" and not killed and line.startswith("epoch 1:"):
                victim = next(pid for pid in ranks(out) if pid)
                killed.append(victim)
                os.kill(victim, signal.SIGKILL)

        launch([WORKER, str(out)], 2, on_line, restarts, {"PYTHONPATH": str(ROOT)})
        results[name] = json.loads((out / RESULT).read_text())["result"]
        assert not (out / STATE).exists()
    assert killed, "no rank was killed"
    assert any("resuming from step" in line for line in lines)
    weights = [load_file(tmp_path / name / WEIGHTS) for name in results]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert results["whole"]["devices"] == 2
    for result in results.values():
        assert result["unreadable_clips"] == [f"bbc_sound_effects-{LOST}"]
        assert result["train_clips"] == 31
    assert [entry["epoch"] for entry in results["broken"]["learning_curve"]] == [1, 2]


OPINIONS = """
import os, sys
from pathlib import Path
from wavcaps_training.tasks.retrieval import RetrievalTask
from wavcaps_training.training.worker import main
scores_of = RetrievalTask.validation_scores
def validation_scores(task):
    falling = -task.epoch if os.environ["RANK"] == "0" else task.epoch
    return {**scores_of(task), task.selection: float(falling)}
RetrievalTask.validation_scores = validation_scores
main(Path(sys.argv[1]))
"""


@pytest.mark.soak
def test_all_ranks_stop_early_in_the_same_epoch(clips: Path, tmp_path: Path) -> None:  # noqa: F811
    """By its own scores, the first rank would stop after two epochs, and the other would never."""
    settings = TOGETHER.model_copy(update={"epochs": 4, "early_stop_epochs": 1})
    write_job_for(clips, tmp_path, settings)
    (tmp_path / "two_opinions.py").write_text(OPINIONS)
    paths = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    launch(["two_opinions", str(tmp_path)], 2, lambda line: None, environment=paths)
    result = json.loads((tmp_path / RESULT).read_text())["result"]
    assert [entry["epoch"] for entry in result["learning_curve"]] == [1, 2]
    assert result["best_epoch"] == 1


def ranks(out: Path) -> list[int]:
    """The processes that work on a job."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes()
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(out).encode() in line and b"LOCAL_RANK=" in environment:
                found.append(int(entry.name))
    return found


def test_ranks_that_keep_dying_are_an_error_with_what_they_said(tmp_path: Path) -> None:
    (tmp_path / "dies_at_once.py").write_text("import sys; sys.exit('the disk is on fire')")
    with pytest.raises(LaunchError, match=r"(?s)2 devices ended with exit code 1.*the disk is on fire"):
        launch(["dies_at_once"], 2, lambda line: None, environment={"PYTHONPATH": str(tmp_path)})


def test_no_rank_outlives_the_process_that_launched_it(tmp_path: Path) -> None:
    (tmp_path / "sleeps_long.py").write_text(
        "import os, pathlib, sys, time\n"
        "pathlib.Path(sys.argv[1], f'rank{os.environ[\"RANK\"]}').write_text(str(os.getpid()))\n"
        "time.sleep(600)\n"
    )
    program = (
        "import sys; from wavcaps_training.training.launching import launch\n"
        "launch(['sleeps_long', sys.argv[1]], 2, print, environment={'PYTHONPATH': sys.argv[1]})"
    )
    launcher = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT)
    files = [tmp_path / f"rank{rank}" for rank in (0, 1)]
    while not all(file.exists() and file.read_text() for file in files):
        assert launcher.poll() is None
        time.sleep(0.05)
    pids = [int(file.read_text()) for file in files]
    launcher.kill()
    launcher.wait()
    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a rank outlived its launcher"
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def clips_with(captions: list[str]) -> list[Clip]:
    return [Clip(caption, (caption,), "", 1.0) for caption in captions]


@pytest.mark.parametrize("size", [3, 4, 7])
@pytest.mark.parametrize("objective", list(Objective))
def test_cached_gradients_are_those_of_the_whole_batch(size: int, objective: Objective) -> None:
    """In evaluation mode, where batch normalisation does not depend on the batch."""
    settings = TINY.model_copy(update={"objective": objective, "cache_log_mel": False})
    torch.manual_seed(3)
    model = RetrievalModel.build(settings).eval()
    batch = Batch(
        ["a", "b", "c", "a", "d", "e", "f"], [f"Sound {n}." for n in range(7)], torch.randn(7, 64_000)
    )
    gradients = {}
    for micro in (None, size):
        model.zero_grad()
        task = RetrievalTask(model, settings.model_copy(update={"micro_batch_size": micro}))
        task.prepare(clips_with(batch.captions))
        value = 0.0
        for part in task.parts(batch):
            part.loss.backward()
            value += float(part.value)
        gradients[micro] = (
            value,
            {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None},
        )
    assert gradients[size][0] == pytest.approx(gradients[None][0], rel=1e-6)
    assert gradients[size][1].keys() == gradients[None][1].keys()
    for name, expected in gradients[None][1].items():
        scale = expected.abs().max()
        assert (gradients[size][1][name] - expected).abs().max() <= 1e-4 * scale + 1e-9, name


def test_statistics_are_updated_once_and_chance_draws_the_same_twice() -> None:
    """A whole batch as one micro-batch: with dropout and statistics on, nothing differs."""
    audio = Cnn14Settings(channels=(8, 8, 8, 8, 8, 8))
    settings = TINY.model_copy(
        update={"cache_log_mel": False, "model": TINY.model.model_copy(update={"audio": audio})}
    )
    batch = Batch(["a", "b", "c", "d"], [f"Sound {n}." for n in range(4)], torch.randn(4, 64_000))
    states, gradients = [], []
    for cached in (False, True):
        torch.manual_seed(5)
        model = RetrievalModel.build(settings).train()
        assert isinstance(model.audio_encoder.audio_enc, Cnn14)
        task = RetrievalTask(model, settings)
        task.prepare(clips_with(batch.captions))
        torch.manual_seed(6)
        if cached:
            contrast = partial(task.contrast, clip_ids=batch.clip_ids)
            parts = cached_parts(model, [batch], task.embed, contrast, [])
        else:
            parts = task.parts(batch)
        for part in parts:
            part.loss.backward()
        states.append(model.state_dict())
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    for name, expected in gradients[0].items():
        assert torch.allclose(gradients[1][name], expected, rtol=1e-3, atol=1e-6), name
