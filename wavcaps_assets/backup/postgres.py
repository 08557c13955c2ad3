"""The instance's database in Postgres, by Postgres' own programs `pg_dump` and `pg_restore`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from wavcaps_assets.backup.archive import ArchiveWriter
from wavcaps_assets.backup.layout import BackupError
from wavcaps_assets.masking import masked, register_secret

if TYPE_CHECKING:
    from sqlalchemy import URL

PACKAGE = "install the package postgresql-client, of the server's version or a newer one"


def dump(home: Path, archive: ArchiveWriter, name: str) -> None:
    """Adds the whole database to a backup, as it is at one moment.

    Raises:
        BackupError: `pg_dump` is not installed, or fails.
    """
    with tempfile.TemporaryDirectory(dir=archive.folder) as folder:
        path = Path(folder) / "dump"
        _run("pg_dump", database_of(home), "--format=custom", "--no-owner", "--no-acl", f"--file={path}")
        archive.add_file(name, path)


def load(home: Path, path: Path) -> None:
    """Replaces the database by a dump, in one transaction.

    Raises:
        BackupError: `pg_restore` is not installed, or fails; the database is as it was.
    """
    options = ["--clean", "--if-exists", "--no-owner", "--no-acl", "--single-transaction", "--exit-on-error"]
    _run("pg_restore", database_of(home), *options, str(path))


def require_program(name: str) -> None:
    """Checks that one of Postgres' programs is installed.

    Raises:
        BackupError: it is not.
    """
    if shutil.which(name) is None:
        raise BackupError(f"the instance is in Postgres, and {name} is not installed: {PACKAGE}")


def is_empty(home: Path) -> bool:
    """Whether an instance has neither runs nor events of assets. Makes its tables where they are missing."""
    os.environ["DAGSTER_HOME"] = str(home)
    with dg.DagsterInstance.get() as instance:
        return instance.get_runs_count() == 0 and not instance.all_asset_keys()


def database_of(home: Path) -> URL:
    """The address of the instance's database, with its password."""
    from dagster_postgres.run_storage import PostgresRunStorage
    from sqlalchemy import make_url

    os.environ["DAGSTER_HOME"] = str(home)
    with dg.DagsterInstance.get() as instance:
        storage = instance.run_storage
        if not isinstance(storage, PostgresRunStorage):
            raise BackupError(f"the instance in {home} is not in Postgres")
        return make_url(storage.postgres_url).set(drivername="postgresql")


def _run(program: str, database: URL, *arguments: str) -> None:
    require_program(program)
    # Everybody on the machine can read a process's arguments, and nobody else its environment.
    password = str(database.password) if database.password else None
    register_secret(password)
    # `URL.set` does not remove one.
    address = database._replace(password=None).render_as_string()
    environment = {**os.environ, **({"PGPASSWORD": password} if password else {})}
    done = subprocess.run(
        [program, f"--dbname={address}", "--no-password", *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise BackupError(f"{program} has failed: {masked(done.stderr.strip())[-2000:]}")
