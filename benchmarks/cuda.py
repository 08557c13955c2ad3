"""The measures of `front_end`, `htsat` and `cnn14` on a CUDA device, beside the released recipe's cost.

Without a device it says so, and measures nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from benchmarks.encoders import embedding, forward, pair, training_step, waveforms
from benchmarks.released_recipe import ConvolvedLogMel
from benchmarks.result import report
from wavcaps_training.models.features import LogMel
from wavcaps_training.settings.model import Cnn14Settings, FrontEndSettings, HtsatSettings

CLIPS, ROUNDS = 32, 10
TOLERANCE = 2e-3  # with TF32 off


def seconds(way: Callable[[], object]) -> float:
    """The fastest of some rounds (s)."""
    times = []
    for number in range(ROUNDS + 2):
        torch.cuda.synchronize()
        started = time.perf_counter()
        way()
        torch.cuda.synchronize()
        if number >= 2:
            times.append(time.perf_counter() - started)
    return min(times)


def measure(name: str, ours: Callable[[], object], plain: Callable[[], object]) -> None:
    torch.cuda.reset_peak_memory_stats()
    mine = seconds(ours)
    peak = torch.cuda.max_memory_allocated() / 1e6
    report(name, CLIPS / mine, "clips/s", "the released recipe, plainly", CLIPS / seconds(plain), peak)


def main() -> None:
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was measured")  # noqa: T201
        return
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")  # noqa: T201
    sounds = waveforms("cuda", CLIPS)
    front_end, convolved = LogMel(FrontEndSettings()).cuda(), ConvolvedLogMel(FrontEndSettings()).cuda()
    measure("cuda_front_end", lambda: front_end(sounds), lambda: convolved(sounds))
    for name, settings in (("htsat", HtsatSettings()), ("cnn14", Cnn14Settings())):
        ours, plain = (model.cuda() for model in pair(settings))
        with torch.no_grad():
            difference = float((embedding(ours, sounds) - embedding(plain, sounds)).abs().max())
        assert difference < TOLERANCE, f"the two differ by {difference}"
        measure(f"cuda_{name}_forward", forward(ours, sounds), forward(plain, sounds))
        measure(f"cuda_{name}_training_step", training_step(ours, sounds), training_step(plain, sounds))


if __name__ == "__main__":
    main()
