"""Shows in a run's log what the plain functions say through `logging`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

PACKAGES = ("wavcaps_assets", "wavcaps_training")


class RunLog(logging.Handler):
    """Passes log records on to the log of a Dagster run."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        super().__init__()
        self._log = context.log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.log(record.levelno, record.getMessage())


@contextmanager
def logged_to(context: dg.AssetExecutionContext) -> Iterator[None]:
    """While it lasts, what our packages log from INFO up is in the run's log, which the web UI shows."""
    handler = RunLog(context)
    loggers = [logging.getLogger(name) for name in PACKAGES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
