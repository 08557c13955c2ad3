"""CNN14 compared with the released recipe: forward and a training step, at least 1.2 times as fast."""

from __future__ import annotations

from benchmarks.encoders import Limits, compare
from wavcaps_training.settings.encoders.cnn14 import Cnn14Settings


def main() -> None:
    compare("cnn14", Cnn14Settings(), Limits(forward=1.2, step=1.2))


if __name__ == "__main__":
    main()
