"""What a run reports of itself: to the log, to a `Progress`, and to TensorBoard."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from wavcaps_assets.show.progress import Facts, NoProgress, Progress

# How often the log says how far a long epoch is (s).
LOGGED_EVERY_S = 60.0

logger = logging.getLogger(__name__)


class RunReport:
    """Reports the steps and epochs of a run. Of processes that train together, the first one reports.

    Args:
        progress: its `update` counts steps; its `record` gets every entry of the learning curve.
        writer: TensorBoard's; None: another process reports.
        shown: the validation scores in the note of `update`, and their names for people.
        total: how many steps the run has.
    """

    def __init__(
        self, progress: Progress, writer: SummaryWriter | None, shown: Mapping[str, str], total: int
    ) -> None:
        self._progress = progress if writer is not None else NoProgress()
        self._writer = writer
        self._shown = shown
        self._total = total
        self._last_epoch = ""
        self._logged = time.monotonic()

    def step(self, step: int, loss: float, learning_rate: float) -> None:
        """A step is done; steps count from 1."""
        self._progress.update(step, self._total, f"loss {loss:.3f}{self._last_epoch}")
        if self._writer is not None:
            self._writer.add_scalar("train/loss", loss, step)
            self._writer.add_scalar("train/learning_rate", learning_rate, step)
            if time.monotonic() - self._logged >= LOGGED_EVERY_S:
                logger.info(f"step {step:,} of {self._total:,}: loss {loss:.3f}")
                self._logged = time.monotonic()

    def epoch(self, entry: Mapping[str, Any]) -> None:
        """An epoch is done and saved.

        Args:
            entry: an entry of the learning curve, with the fields of `tables.LEARNING_CURVE`.
        """
        if self._writer is None:
            return
        facts = epoch_facts(entry)
        epoch, rate = entry["epoch"], entry["clips_per_second"]
        self._writer.add_scalar("validation/loss", entry["validation_loss"], epoch)
        for score in entry["scores"]:
            self._writer.add_scalar(f"validation/{score['name']}", score["value"], epoch)
        self._writer.add_scalar("train/clips_per_second", rate, epoch)
        self._writer.flush()
        shown = [f", {name} {facts[key]:.1f}" for key, name in self._shown.items()]
        self._last_epoch = "".join([*shown, f", {rate:.1f} clips/s"])
        logger.info(epoch_line(entry))
        self._logged = time.monotonic()
        self._progress.record(facts)


@contextmanager
def reporting(
    folder: Path | None, progress: Progress, shown: Mapping[str, str], total: int
) -> Iterator[RunReport]:
    """A report that writes TensorBoard's files into a folder; None: another process reports."""
    writer = SummaryWriter(str(folder)) if folder is not None else None
    try:
        yield RunReport(progress, writer, shown, total)
    finally:
        if writer is not None:
            writer.close()


def epoch_facts(entry: Mapping[str, Any]) -> Facts:
    """An entry of the learning curve without nesting: each score is a fact of its own."""
    scores = {score["name"]: score["value"] for score in entry["scores"]}
    return {**{name: value for name, value in entry.items() if name != "scores"}, **scores}


def epoch_line(entry: Mapping[str, Any]) -> str:
    """An entry of the learning curve in a line."""
    scores = ", ".join(f"{score['name']} {score['value']:.3g}" for score in entry["scores"])
    return (
        f"epoch {entry['epoch']}: loss {entry['train_loss']:.3f}, validation loss "
        f"{entry['validation_loss']:.3f}, {scores}; {entry['clips_per_second']:.1f} clips/s"
    )
