"""An instance on a real Postgres: its daemon, and a crawl that is launched through it."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from tests.defs.test_backfills import Pipeline, paths
from tests.support.dagster_host import INSTANCE, host
from tests.support.postgres import serving_postgres
from wavcaps_assets.demo.server import running_server
from wavcaps_assets.demo.synthesis import synthesised_corpus

pytestmark = [pytest.mark.slow, pytest.mark.alone]

IN_ONE_URL = "{{postgres_url: 'postgresql://postgres:secret@127.0.0.1:{port}/postgres'}}"
IN_FIELDS = (
    "{{postgres_db: {{username: postgres, password: secret, "
    "hostname: 127.0.0.1, db_name: postgres, port: {port}}}}}"
)


@pytest.fixture
def postgres() -> Iterator[int]:
    with serving_postgres() as port:
        yield port


@pytest.mark.parametrize(
    "storage",
    [
        pytest.param(IN_ONE_URL, id="in one URL"),
        pytest.param(IN_FIELDS, id="in fields", marks=pytest.mark.soak),
    ],
)
def test_a_crawl(
    postgres: int, storage: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("home")
    corpus = synthesised_corpus(tmp_path_factory.mktemp("corpus"), clips=18, scenes=10)
    with running_server(corpus) as url:
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        monkeypatch.setenv("WAVCAPS_STORE", str(home / "store"))
        monkeypatch.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", url.rpartition(":")[2])
        with host(home, f"{INSTANCE}storage: {{postgres: {storage.format(port=postgres)}}}\n") as dagster:
            pipeline = Pipeline(dagster)
            key = ["soundbible", "raw_clips"]
            run = pipeline.launch(
                "__ASSET_JOB",
                assetSelection=paths(key),
                assetCheckSelection=None,
                tags={"dagster/partition": "catalogue"},
            )
            assert run.status is dg.DagsterRunStatus.SUCCESS, pipeline.failures()
            pipeline.require(key, ["catalogue"])
            assert pipeline.tables.read(key).num_rows > 0
    # Nothing went to SQLite.
    assert not list(home.rglob("*.db"))
