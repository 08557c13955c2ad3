"""Postgres was gone: the web server's next page is whole. It holds connections, and does not check them."""

from __future__ import annotations

import time

import pytest
from dagster_postgres import PostgresRunStorage
from dagster_webserver.cli import DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_MAX_OVERFLOW

from tests.support.compose import services
from tests.support.gate import gate
from tests.support.postgres import serving_postgres

NAMES = (
    "UI_USER",
    "UI_PASSWORD_HASH",
    "DAGSTER_POSTGRES_PASSWORD",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
)
OUTAGE_S = 60


@pytest.mark.slow
def test_no_page_fails_after_an_outage_of_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    command = services(dict.fromkeys(NAMES, "x"))["webserver"]["command"]
    recycle_s = int(command[command.index("--db-pool-recycle") + 1])
    with serving_postgres() as server, gate(server) as to_server:
        runs = PostgresRunStorage(f"postgresql://postgres:secret@127.0.0.1:{to_server.port}/postgres", True)
        runs.optimize_for_webserver(DEFAULT_DB_STATEMENT_TIMEOUT, recycle_s, DEFAULT_POOL_MAX_OVERFLOW)
        assert runs.get_runs_count() == 0
        to_server.shut()
        later = time.time() + OUTAGE_S
        monkeypatch.setattr(time, "time", lambda: later)
        to_server.open()
        assert runs.get_runs_count() == 0
