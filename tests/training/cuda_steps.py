"""Jobs for the tests of the CUDA executor. Their steps tell the test where they run, and do as it says."""

import os
import signal
import time
from multiprocessing.connection import Client
from typing import Any

import dagster as dg

from wavcaps_training.executor import GPU_TAG, cuda_executor

TEST_PORT_VARIABLE = "CUDA_STEPS_TEST_PORT"
AUTHKEY = b"cuda steps"


def report_and_wait(context: dg.AssetExecutionContext) -> None:
    """Tells the test where this step runs; goes on when the test answers."""
    with Client(("127.0.0.1", int(os.environ[TEST_PORT_VARIABLE])), authkey=AUTHKEY) as test:
        test.send(
            {
                "step": context.op_execution_context.op.name,
                "CUDA_VISIBLE_DEVICES": os.environ["CUDA_VISIBLE_DEVICES"],
                "WAVCAPS_DEVICE": os.environ["WAVCAPS_DEVICE"],
                "start": time.monotonic(),
            }
        )
        try:
            test.recv()
        finally:
            test.send(time.monotonic())


def waiting_step(name: str, tags: dict[str, str]) -> dg.AssetsDefinition:
    @dg.asset(name=name, op_tags=tags)
    def step(context: dg.AssetExecutionContext) -> None:
        report_and_wait(context)

    return step


@dg.asset(op_tags={GPU_TAG: "1"}, retry_policy=dg.RetryPolicy(max_retries=1))
def killed_once(context: dg.AssetExecutionContext) -> None:
    if context.retry_number == 0:
        os.kill(os.getpid(), signal.SIGKILL)


@dg.asset(op_tags={GPU_TAG: "1"})
def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dg.asset
def silent() -> None:
    os._exit(0)


defs = dg.Definitions(
    executor=cuda_executor,
    assets=[
        waiting_step("first", {GPU_TAG: "1"}),
        waiting_step("second", {GPU_TAG: "1"}),
        waiting_step("plain", {}),
        killed_once,
        killed,
        silent,
    ],
    jobs=[
        dg.define_asset_job("side_by_side", ["first", "second", "plain"]),
        dg.define_asset_job("two", ["first", "second"]),
        dg.define_asset_job("one", ["first"]),
        dg.define_asset_job("dying", ["killed_once", "killed", "silent"]),
    ],
)


def build_job(name: str) -> Any:
    return defs.resolve_job_def(name)
