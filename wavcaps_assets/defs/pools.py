"""The pools that limit concurrency: one for each source's site, one for the language model, one for the GPUs.

A step takes a slot of its pool when it starts, however its run was launched. The tags of a job would not do:
a run of the asset graph does not have them (https://github.com/dagster-io/dagster/issues/33430). One run
whose first steps have to wait for a slot is launched, so that its process has started when the slot is free.
The next ones stay in the queue, and those behind them are launched: so the backfill of one source does not
hold up the others.

Both instances, `dagster_home/dagster.yaml` and `dagster_home/team/dagster.yaml`, have what is here; a test
compares them. A person sets another limit of a pool on the page *Deployment* of the web UI, under
*Concurrency*, or with `dagster instance concurrency set <pool> <limit>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Captioning in all its forms. The rate, the budget and the leases of requests are limited by `llm` itself.
LANGUAGE_MODEL = "language_model"
# Steps that need CUDA devices. The executor gives each step devices of its own; who waits for this pool waits
# in the queue, and does not take the place of a run that could go on.
GPU = "gpu"
# The slots of a pool that nobody has set. Requests to a site go through one process: it keeps their pace.
DEFAULT_LIMIT = 1
# The runs of each pool that are launched although they have to wait for a slot. The start of a run's process
# takes longer than a small crawl: without this, a backfill takes nearly twice as long.
WAITING_RUNS = 1
# How often the daemon looks at the queue (s). A look at an empty one takes 5 ms of a core.
LOOK_EVERY_S = 2

# On the runs of a source's crawl job.
SOURCE_TAG = "wavcaps/source"
# On the runs of the job that captions a source. Its first step needs no pool, and does not wait in the queue.
CAPTIONING_TAG: Mapping[str, str] = {"wavcaps/captioning": "yes"}
# On every run of a backfill.
BACKFILL_TAG = "dagster/backfill"


def crawl_pool(source: str) -> str:
    """The pool of the requests to a source's site."""
    return f"crawl_{source}"


def run_queue(runs: int) -> Mapping[str, Any]:
    """What an instance has under `concurrency: runs`.

    Args:
        runs: at once, with those that wait. A backfill takes a third of them at most, so that two sources'
            backfills and a night's runs find a place beside it.
            Each backfill has its own limit: Dagster counts runs that wait for a pool too, so with one limit
            for all, the first backfill in the queue would hold up the second.
    """
    return {
        "max_concurrent_runs": runs,
        "tag_concurrency_limits": [
            {"key": SOURCE_TAG, "value": {"applyLimitPerUniqueValue": True}, "limit": 1},
            {"key": next(iter(CAPTIONING_TAG)), "limit": 1},
            {"key": BACKFILL_TAG, "value": {"applyLimitPerUniqueValue": True}, "limit": runs // 3},
        ],
    }
