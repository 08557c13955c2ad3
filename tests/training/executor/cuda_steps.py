"""Jobs for the tests of the CUDA executor. Their steps tell the test where they run, and do as it says."""

import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import dagster as dg

from wavcaps_training.executor.executor import cuda_executor
from wavcaps_training.executor.gpu_tags import gpu_tags
from wavcaps_training.executor.passing_over import needs_table
from wavcaps_training.training.launching import launch

TEST_PORT_VARIABLE = "CUDA_STEPS_TEST_PORT"
RANKS_FOLDER_VARIABLE = "CUDA_STEPS_RANKS_FOLDER"
AUTHKEY = b"cuda steps"


def report_and_wait(context: dg.AssetExecutionContext) -> None:
    """Tells the test where this step runs; goes on when the test answers."""
    with Client(("127.0.0.1", int(os.environ[TEST_PORT_VARIABLE])), authkey=AUTHKEY) as test:
        test.send(
            {
                "step": context.op_execution_context.op.name,
                "CUDA_VISIBLE_DEVICES": os.environ["CUDA_VISIBLE_DEVICES"],
                "WAVCAPS_DEVICE": os.environ["WAVCAPS_DEVICE"],
                "process": os.getpid(),
                "start": time.monotonic(),
            }
        )
        try:
            test.recv()
        finally:
            test.send(time.monotonic())


def waiting_step(name: str, tags: dict[str, Any], max_retries: int = 0) -> dg.AssetsDefinition:
    @dg.asset(name=name, op_tags=tags, retry_policy=dg.RetryPolicy(max_retries=max_retries))
    def step(context: dg.AssetExecutionContext) -> None:
        report_and_wait(context)

    return step


@dg.asset(op_tags=gpu_tags(1), retry_policy=dg.RetryPolicy(max_retries=1))
def killed_once(context: dg.AssetExecutionContext) -> None:
    if context.retry_number == 0:
        os.kill(os.getpid(), signal.SIGKILL)


@dg.asset(op_tags=gpu_tags(1))
def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dg.asset(op_tags=gpu_tags(1))
def silent() -> None:
    os._exit(0)


def scores_of(setting: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"scores_of_{setting}",
        op_tags={**gpu_tags(1), **needs_table(("checkpoint", "htsat_bert", setting))},
        output_required=False,
    )
    def step(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
        context.log.info("scored in a process of its own")
        yield dg.Output(None)

    return step


RANK = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1], "rank" + os.environ["RANK"]).write_text(str(os.getpid()))
time.sleep(600)
"""


@dg.asset(op_tags=gpu_tags(1))
def with_ranks(context: dg.AssetExecutionContext) -> None:
    """Starts two processes that do not stop when they are asked to."""
    folder = Path(os.environ[RANKS_FOLDER_VARIABLE])
    (folder / "stubborn_rank.py").write_text(RANK)
    (folder / "step").write_text(str(os.getpid()))
    launch(["stubborn_rank", str(folder)], 2, context.log.info, environment={"PYTHONPATH": str(folder)})


defs = dg.Definitions(
    executor=cuda_executor,
    assets=[
        waiting_step("first", gpu_tags(1)),
        waiting_step("second", gpu_tags(1)),
        waiting_step("third", gpu_tags(1)),
        waiting_step("half", gpu_tags(0.5)),
        waiting_step("other_half", gpu_tags(0.5)),
        waiting_step("greedy", gpu_tags(4)),
        waiting_step("stubborn", gpu_tags(1), max_retries=1),
        waiting_step("plain", {}),
        killed_once,
        killed,
        silent,
        with_ranks,
        scores_of("zero_shot"),
        scores_of("pretraining"),
        scores_of("baseline"),
    ],
    jobs=[
        dg.define_asset_job("side_by_side", ["first", "second", "plain"]),
        dg.define_asset_job("two", ["first", "second"]),
        dg.define_asset_job("three", ["first", "second", "third"]),
        dg.define_asset_job("shares", ["first", "half", "other_half"]),
        dg.define_asset_job("shares_beside_plain", ["first", "half", "other_half", "plain"]),
        dg.define_asset_job("greedy_beside_plain", ["greedy", "plain"]),
        dg.define_asset_job("one", ["first"]),
        dg.define_asset_job(
            "all_scores", [f"scores_of_{one}" for one in ("zero_shot", "pretraining", "baseline")]
        ),
        dg.define_asset_job("one_stubborn", ["stubborn"]),
        dg.define_asset_job("ranks", ["with_ranks"]),
        dg.define_asset_job("dying", ["killed_once", "killed", "silent"]),
        dg.define_asset_job("killed_on_cluster", ["killed"]),
        dg.define_asset_job("killed_once_on_cluster", ["killed_once"]),
    ],
)


def build_job(name: str) -> Any:
    return defs.resolve_job_def(name)
