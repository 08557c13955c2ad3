"""An audio encoder of ours compared with the released recipe, which computes the same numbers.

Both have the same weights, threads and clips, and go in turns, so that a busy machine slows both alike; a
side's time is that of its fastest round. Memory is the largest resident set of a process that makes
training steps and nothing else.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.own_process import in_own_process
from benchmarks.released_recipe import plain_copy
from benchmarks.result import report
from wavcaps_training.models.audio_encoder import build_audio_encoder
from wavcaps_training.models.cnn14 import Cnn14
from wavcaps_training.models.htsat import Htsat
from wavcaps_training.settings.encoders.cnn14 import Cnn14Settings
from wavcaps_training.settings.encoders.htsat import HtsatSettings
from wavcaps_training.settings.training import PAPER
from wavcaps_training.training.run import adam

SECONDS, CLIPS, ROUNDS = 10, 4, 5
TOLERANCE = 2e-4
# Two processes of the same program differ by a little.
MEMORY_SLACK = 1.02


@dataclass(frozen=True)
class Limits:
    """How many times as fast as the plain recipe ours must be."""

    forward: float
    step: float


def fastest(works: Sequence[Callable[[], object]], rounds: int = ROUNDS) -> list[float]:
    """The fastest round of each (s), in turns."""
    times: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 1):
        for work, mine in zip(works, times, strict=True):
            started = time.perf_counter()
            work()
            if number:  # the first round fills caches
                mine.append(time.perf_counter() - started)
    return [min(mine) for mine in times]


def waveforms(device: str = "cpu", clips: int = CLIPS) -> Tensor:
    """(clips, samples) of noise."""
    generator = torch.Generator().manual_seed(4)
    return (torch.randn(clips, SECONDS * 32_000, generator=generator) / 10).to(device)


def pair(settings: HtsatSettings | Cnn14Settings) -> tuple[nn.Module, nn.Module]:
    """Our encoder and the plain one with its weights, both in evaluation mode."""
    torch.manual_seed(4)
    ours = build_audio_encoder(settings).eval()
    assert isinstance(ours, Htsat | Cnn14)
    return ours, plain_copy(ours)


def embedding(model: nn.Module, sounds: Tensor) -> Tensor:
    found = model(sounds)
    return found if isinstance(found, Tensor) else found.embedding


def forward(model: nn.Module, sounds: Tensor) -> Callable[[], object]:
    def run() -> object:
        with torch.no_grad():
            return embedding(model, sounds)

    return run


def training_step(model: nn.Module, sounds: Tensor) -> Callable[[], object]:
    if isinstance(model, Htsat | Cnn14):
        optimizer = adam(model, PAPER)
    else:
        optimizer = torch.optim.Adam(
            [p for p in model.parameters() if p.requires_grad], lr=PAPER.learning_rate
        )

    def run() -> object:
        model.train()
        optimizer.zero_grad()
        embedding(model, sounds).square().mean().backward()
        optimizer.step()
        return model.eval()

    return run


def measure_memory(settings: HtsatSettings | Cnn14Settings, which: int) -> float:
    """The peak (MB) of training steps of ours (0) or the plain one (1), in a separate process."""
    return in_own_process(_steps, settings, which)


def _steps(settings: HtsatSettings | Cnn14Settings, which: int) -> float:
    torch.manual_seed(4)
    ours = build_audio_encoder(settings).eval()
    model: nn.Module = ours
    if which:
        assert isinstance(ours, Htsat | Cnn14)
        model = plain_copy(ours)
    del ours
    step = training_step(model, waveforms())
    for _ in range(2):
        step()
    # Not what getrusage says: a process begins there with the peak of the one that started it.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def compare(name: str, settings: HtsatSettings | Cnn14Settings, limits: Limits) -> None:
    """Reports forward, training step and memory; ends the program if a limit is missed."""
    memory = [measure_memory(settings, which) for which in (0, 1)]
    ours, plain = pair(settings)
    sounds = waveforms()
    with torch.no_grad():
        difference = float((embedding(ours, sounds) - embedding(plain, sounds)).abs().max())
    assert difference < TOLERANCE, f"the two differ by {difference}"
    mine, theirs = fastest([forward(ours, sounds), forward(plain, sounds)])
    step, plain_step = fastest([training_step(ours, sounds), training_step(plain, sounds)])
    peer = "the released recipe, plainly"
    print(f"{torch.get_num_threads()} threads; the embeddings differ by {difference:.1e}")  # noqa: T201
    report(f"{name}_memory_of_a_step", memory[0], "MB", peer, memory[1], memory[0])
    report(f"{name}_forward", CLIPS / mine, "clips/s", peer, CLIPS / theirs, memory[0])
    report(f"{name}_training_step", CLIPS / step, "clips/s", peer, CLIPS / plain_step, memory[0])
    if (
        theirs < limits.forward * mine
        or plain_step < limits.step * step
        or memory[0] > MEMORY_SLACK * memory[1]
    ):
        sys.exit(
            f"the limits: forward {limits.forward} times, a training step {limits.step} times as fast, and "
            "no more memory"
        )
