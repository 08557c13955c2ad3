"""The tasks, one file each, which is found here: a module with `TASK`, an instance of its class."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from wavcaps_training.scoring.task import ScoringTask


def known_tasks() -> tuple[ScoringTask, ...]:
    """The tasks, by name."""
    modules = (import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__))
    tasks = [module.TASK for module in modules]
    assert all(isinstance(task, ScoringTask) for task in tasks)
    return tuple(sorted(tasks, key=lambda task: task.name))


def tasks_of(models: str) -> tuple[ScoringTask, ...]:
    """The tasks that apply to models of a task, as their settings name it: `retrieval` or `captioning`."""
    return tuple(task for task in known_tasks() if task.models == models)
