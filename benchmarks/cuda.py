"""The measures of `front_end`, `htsat` and `cnn14` on a CUDA device, compared with the released recipe.

The limit: ours is as fast, up to noise. Without a device the benchmark says so and measures nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch

from benchmarks.encoders import embedding, forward, pair, training_step, waveforms
from benchmarks.released_recipe import ConvolvedLogMel
from benchmarks.result import report
from wavcaps_training.models.features import LogMel
from wavcaps_training.settings.encoder import FrontEndSettings
from wavcaps_training.settings.encoders.cnn14 import Cnn14Settings
from wavcaps_training.settings.encoders.htsat import HtsatSettings

CLIPS, ROUNDS = 32, 10
LEAST_RATIO = 0.95  # as fast, up to noise
TOLERANCE = 2e-3  # with TF32 off


def seconds(work: Callable[[], object]) -> float:
    """The fastest of some rounds (s)."""
    times = []
    for number in range(ROUNDS + 2):
        torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        torch.cuda.synchronize()
        if number >= 2:
            times.append(time.perf_counter() - started)
    return min(times)


def measure(name: str, ours: Callable[[], object], plain: Callable[[], object]) -> float:
    """Reports a measure; returns how many times as fast ours is."""
    torch.cuda.reset_peak_memory_stats()
    mine = seconds(ours)
    peak = torch.cuda.max_memory_allocated() / 1e6
    theirs = seconds(plain)
    report(name, CLIPS / mine, "clips/s", "the released recipe, plainly", CLIPS / theirs, peak)
    return theirs / mine


def main() -> None:
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was measured")  # noqa: T201
        return
    # torch's own default for convolutions is TF32; for matrix products it is not.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, without TF32")  # noqa: T201
    sounds = waveforms("cuda", CLIPS)
    front_end, convolved = LogMel(FrontEndSettings()).cuda(), ConvolvedLogMel(FrontEndSettings()).cuda()
    ratios = [measure("cuda_front_end", lambda: front_end(sounds), lambda: convolved(sounds))]
    for name, settings in (("htsat", HtsatSettings()), ("cnn14", Cnn14Settings())):
        ours, plain = (model.cuda() for model in pair(settings))
        with torch.no_grad():
            difference = float((embedding(ours, sounds) - embedding(plain, sounds)).abs().max())
        assert difference < TOLERANCE, f"the two differ by {difference}"
        ratios.append(measure(f"cuda_{name}_forward", forward(ours, sounds), forward(plain, sounds)))
        steps = training_step(ours, sounds), training_step(plain, sounds)
        ratios.append(measure(f"cuda_{name}_training_step", *steps))
    if min(ratios) < LEAST_RATIO:
        sys.exit(f"the limit: at least {LEAST_RATIO} times as fast as the released recipe")


if __name__ == "__main__":
    main()
