"""A backfill from the UI in which a site refuses one partition: what the backfill says of it, and its run.

Dagster takes the status of an asset backfill from materializations: a partition without one failed
(https://github.com/dagster-io/dagster/issues/34219). So the backfill is red. That is the truth: not all that
was requested is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.dagster_host import INSTANCE, SELECTOR, Host, host, wait_until
from tests.support.servers import running
from wavcaps_assets.defs.pauses import PAUSED_TAG
from wavcaps_assets.demo.server import running_server
from wavcaps_assets.demo.synthesis import synthesised_corpus

pytestmark = [pytest.mark.soak, pytest.mark.alone]

DONE, REFUSED = "2022-09", "2022-10"
RAW = dg.AssetKey(["freesound", "raw_clips"])
LAUNCH = """
mutation Launch($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) { ... on LaunchBackfillSuccess { backfillId } }
}
"""
STATUS = """
query Status($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill {
      status
      assetBackfillData {
        assetBackfillStatuses {
          ... on AssetPartitionsStatusCounts { numPartitionsMaterialized numPartitionsFailed }
        }
      }
    }
  }
}
"""
PARTITIONS = """
{
  assetNodeOrError(assetKey: {path: ["freesound", "raw_clips"]}) {
    ... on AssetNode { partitionStats { numMaterialized numFailed } }
  }
}
"""


@pytest.fixture
def dagster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    corpus = synthesised_corpus(tmp_path / "corpus", clips=18, scenes=2)
    home = tmp_path / "home"
    home.mkdir()
    with running_server(corpus) as url, running(_refusing(f"{url}/freesound")) as site:
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        monkeypatch.setenv("WAVCAPS_STORE", str(home / "store"))
        monkeypatch.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", url.rpartition(":")[2])
        monkeypatch.setenv("WAVCAPS_FREESOUND__BASE_URL", site)
        monkeypatch.setenv("WAVCAPS_NETWORK__PRIVATE_HOSTS", f'["{site.partition("://")[2]}"]')
        # A site that refuses one request refuses them all for an hour: the refused month comes last.
        with host(home, INSTANCE.replace("max_concurrent_runs: 2", "max_concurrent_runs: 1")) as started:
            yield started


def _refusing(behind: str) -> Starlette:
    """The site behind, which has had enough when one month is requested."""

    async def answer(request: Request) -> Response:
        if REFUSED in request.query_params.get("filter", ""):
            return Response("slow down", 429, {"Retry-After": "3600"})
        async with httpx.AsyncClient() as client:
            headers = {"authorization": request.headers.get("authorization", "")}
            got = await client.get(
                f"{behind}{request.url.path}", params=request.query_params, headers=headers
            )
        return Response(got.content, got.status_code, media_type=got.headers.get("content-type"))

    return Starlette(routes=[Route("/{path:path}", answer)])


def ended(dagster: Host, **params: Any) -> Any:
    """Launches a backfill as the UI does, and waits for its end."""
    launched = dagster.graphql(LAUNCH, params=params)["launchPartitionBackfill"]

    def status() -> Any:
        return dagster.graphql(STATUS, id=launched["backfillId"])["partitionBackfillOrError"]

    wait_until(lambda: status()["status"].startswith(("COMPLETED", "FAIL")), 300, status)
    return status()


def test_a_backfill_with_a_paused_partition(dagster: Host) -> None:
    backfill = ended(dagster, assetSelection=[{"path": RAW.path}], partitionNames=[DONE, REFUSED])
    assert backfill["status"] == "COMPLETED_FAILED"
    (counts,) = backfill["assetBackfillData"]["assetBackfillStatuses"]
    assert counts == {"numPartitionsMaterialized": 1, "numPartitionsFailed": 1}

    # The run of the paused month succeeded, and says until when it paused. Its month is missing, not failed.
    runs = {run.tags["dagster/partition"]: run for run in dagster.instance.get_runs()}
    assert {run.status for run in runs.values()} == {dg.DagsterRunStatus.SUCCESS}
    assert PAUSED_TAG in runs[REFUSED].tags and PAUSED_TAG not in runs[DONE].tags
    assert dagster.instance.get_materialized_partitions(RAW) == {DONE}
    stats = dagster.graphql(PARTITIONS)["assetNodeOrError"]["partitionStats"]
    assert stats == {"numMaterialized": 1, "numFailed": 0}

    # Of a job, Dagster takes the status from the runs.
    job = {"repositorySelector": SELECTOR, "partitionSetName": "crawl_freesound_partition_set"}
    assert ended(dagster, selector=job, partitionNames=[REFUSED])["status"] == "COMPLETED_SUCCESS"
    assert dagster.instance.get_materialized_partitions(RAW) == {DONE}
