"""A backup of an instance in a real Postgres, while its daemon could be at work, and its restoration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from tests.backup.test_command import INSTANCE, homes, run, use
from tests.support.postgres import serving_postgres
from wavcaps_assets.store.storage import Store

pytestmark = pytest.mark.slow
__all__ = ["homes"]

PASSWORD = "planted database password"


@pytest.fixture
def addresses() -> Iterator[tuple[str, str]]:
    """Two databases of one server, whose password has characters that an address must escape."""
    with serving_postgres() as port:
        server = sa.create_engine(
            f"postgresql+psycopg2://postgres:secret@127.0.0.1:{port}/postgres", isolation_level="AUTOCOMMIT"
        )
        with server.connect() as connection:
            connection.execute(sa.text(f"create role dagster login password '{PASSWORD}'"))
            for name in ("first", "second"):
                connection.execute(sa.text(f"create database {name} owner dagster"))
        server.dispose()
        escaped = PASSWORD.replace(" ", "%20")
        address = f"postgresql://dagster:{escaped}@127.0.0.1:{port}"
        yield f"{address}/first", f"{address}/second"


def test_postgres(
    homes: tuple[Path, Path],
    addresses: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    old, new = homes
    for home, address in zip(homes, addresses, strict=True):
        (home / "dagster.yaml").write_text(
            f"{INSTANCE}storage: {{postgres: {{postgres_url: '{address}'}}}}\n"
        )
    job = dg.define_asset_job("crawl").resolve(asset_graph=dg.Definitions([sound]).resolve_asset_graph())
    Store(old / "store").write_bytes("tables/sounds/all.parquet", b"table")
    path = tmp_path / "b.tar.zst"
    with dg.DagsterInstance.get() as instance:
        done = dg.materialize([sound], instance=instance)
        started = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        made = run("backup", str(path))
        after = dg.materialize([sound], instance=instance)
    assert made.exit_code == 0 and "instance: postgres" in made.output, made.output

    use(new, monkeypatch)
    restored = run("restore", str(path))
    assert restored.exit_code == 0, restored.output
    with dg.DagsterInstance.get() as instance:
        found = {run.run_id: run.status for run in instance.get_runs()}
        assert found == {
            done.run_id: dg.DagsterRunStatus.SUCCESS,
            started.run_id: dg.DagsterRunStatus.FAILURE,
        }
        assert after.run_id not in found
        # Its sequences go on: a further event does not get the number of an old one.
        dg.materialize([sound], instance=instance)
        assert instance.get_runs_count() == 3
    (new / "store" / "tables" / "sounds" / "all.parquet").unlink()
    again = run("restore", str(path))
    assert again.exit_code == 1 and "Postgres: name an empty database" in again.output

    # A program that is missing, and one that fails, are a sentence without the password.
    use(old, monkeypatch)
    with monkeypatch.context() as without:
        without.setenv("PATH", str(tmp_path))
        missing = run("backup", str(tmp_path / "c.tar.zst"))
    assert missing.exit_code == 1 and "pg_dump is not installed" in missing.output
    failing = tmp_path / "bin" / "pg_dump"
    failing.parent.mkdir()
    failing.write_text('#!/bin/sh\necho "$0 $*; $PGPASSWORD is wrong" >&2; exit 1\n')
    failing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{failing.parent}:/usr/bin:/bin")
    failed = run("backup", str(tmp_path / "c.tar.zst"))
    assert failed.exit_code == 1 and "pg_dump has failed" in failed.output
    for output in (made, restored, again, missing, failed):
        assert "planted" not in output.output
    assert not (tmp_path / "c.tar.zst").exists()


@dg.asset
def sound() -> None:
    """Nothing."""
