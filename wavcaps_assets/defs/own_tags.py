"""Tags with which a run says where it is and what became of it.

Who starts a run again, a person in the web UI or Dagster itself, starts it with all tags of the one before.
So behind each such tag there is another one with the id of its run.
"""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg
from dagster._core.storage.tags import HIDDEN_TAG_PREFIX


def add_own_tags(instance: dg.DagsterInstance, run_id: str, tags: Mapping[str, str]) -> None:
    """Records what a run says about itself."""
    instance.add_run_tags(run_id, {**tags, **{tag_of(name): run_id for name in tags}})


def own_tag(run: dg.DagsterRun, name: str) -> str | None:
    """What a run has said about itself under a name; None: nothing, or the tag is that of the run before."""
    return run.tags.get(name) if run.tags.get(tag_of(name), run.run_id) == run.run_id else None


def tag_of(name: str) -> str:
    """The tag with the id of the run that set another tag. The web UI does not show it."""
    return f"{HIDDEN_TAG_PREFIX}run_of/{name}"
