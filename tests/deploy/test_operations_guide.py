"""Every command of docs/operations.md is run, section by section, in a copy of the project, offline."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.support.paths import ROOT
from tests.support.rows import manifest_row
from tests.support.rude_server import RudeServer, answer, rude_server
from tests.support.s3 import REGION, SECRET
from wavcaps_assets.captioning.prompts import Form, load_prompt
from wavcaps_assets.clock import utc_now
from wavcaps_assets.llm.ledger import ANSWERS
from wavcaps_assets.publishing.publish_version import publish_version
from wavcaps_assets.sources import MODULES
from wavcaps_assets.store.storage import Store, open_store
from wavcaps_assets.tables import DROPPED, MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
OLD_HOME = ROOT / "tests" / "compat" / "home.tar.xz"
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
# Programs that are not run, and why.
NOT_RUN = {
    "docker": "containers cannot run in a test; tests/deploy starts the services by hand",
}
# Folders of the page, which are below the sandbox in the test.
FOLDERS = ("/data", "/backups")
COMMANDS = """#!{python}
# The subcommands of pyproject.toml, however the project is installed.
import sys, tomllib
from importlib.metadata import EntryPoint
from wavcaps_assets import cli
with open("pyproject.toml", "rb") as file:
    declared = tomllib.load(file)["project"]["entry-points"][cli.GROUP]
points = [EntryPoint(name, value, cli.GROUP) for name, value in declared.items()]
cli.entry_points = lambda group: points
cli.main()
"""


def blocks() -> dict[str, list[str]]:
    """The console blocks of each section."""
    found: dict[str, list[str]] = {}
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        found[section.partition("\n")[0]] = re.findall(
            r"^```console\n(.*?)^```", section, re.DOTALL | re.MULTILINE
        )
    return {title: scripts for title, scripts in found.items() if scripts}


class Sandbox:
    """A copy of the project with a home that has a store and an instance."""

    def __init__(self, folder: Path, environment: dict[str, str], hooks: RudeServer) -> None:
        self.folder = folder
        self.hooks = hooks
        self.project = folder / "project"
        self.home = self.project / "dagster_home"
        self.environment = environment
        self.skipped = folder / "not_run"

    def run(self, script: str) -> str:
        """Runs a block as bash does. Returns what it prints."""
        for name in FOLDERS:
            script = re.sub(rf"(?<![\w/]){name}\b", f"{self.folder}{name}", script)
        log = shlex.quote(str(self.skipped))
        stand_ins = "".join(f'{name}() {{ echo "{name}" >> {log}; }}\n' for name in NOT_RUN)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", stand_ins + script],
            cwd=self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def hooks() -> Iterator[RudeServer]:
    with rude_server() as server:
        server.answers["/alerts"] = answer(b"ok")
        yield server


@pytest.fixture
def sandbox(tmp_path: Path, hooks: RudeServer, request: pytest.FixtureRequest) -> Sandbox:
    project = tmp_path / "project"
    for name in ("wavcaps_assets", "deploy"):
        shutil.copytree(ROOT / name, project / name)
    for name in ("pyproject.toml", "workspace.yaml"):
        shutil.copy(ROOT / name, project)
    (project / "wavcaps_training").symlink_to(ROOT / "wavcaps_training")
    home = project / "dagster_home"
    home.mkdir()
    with tarfile.open(OLD_HOME) as archive:
        archive.extractall(home, filter="data")
    shutil.copy(ROOT / "dagster_home" / "dagster.yaml", home)
    for name in FOLDERS:
        (tmp_path / name[1:]).mkdir()
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "wavcaps").write_text(COMMANDS.format(python=sys.executable))
    (programs / "wavcaps").chmod(0o755)
    s3 = request.getfixturevalue("s3_server")
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(project),
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "WAVCAPS_S3__ENDPOINT_URL": s3,
        "WAVCAPS_S3__REGION": REGION,
    }
    (project / ".env").write_text(f"WAVCAPS_STORE={home / 'store'}\n")
    return Sandbox(tmp_path, environment, hooks)


def keys_are_read(sandbox: Sandbox, output: str) -> None:
    assert "WAVCAPS_SOURCES=live" in output and f"the store is {sandbox.folder}/data/wavcaps" in output
    assert re.search(r"^freesound +takes part", output, re.MULTILINE)
    assert (sandbox.project / ".env").stat().st_mode & 0o077 == 0
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {".env", "deploy/.env", "deploy/keys.env"} <= set(ignored)


def prompt_is_another(sandbox: Sandbox, output: str) -> None:
    assert "A dog barks twice." in output
    before = load_prompt("paper", "freesound", Form.NUMBERED_LIST).version
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WAVCAPS_PROMPTS", str(sandbox.folder / "data" / "prompts"))
        assert load_prompt("mine", "freesound", Form.NUMBERED_LIST).version != before


def source_is_there(sandbox: Sandbox, output: str) -> None:
    assert re.search(r"^field_notes +takes part \(partition catalogue\)", output, re.MULTILINE)
    now = {path.relative_to(sandbox.project) for path in (sandbox.project / "wavcaps_assets").rglob("*.py")}
    before = {path.relative_to(ROOT) for path in (ROOT / "wavcaps_assets").rglob("*.py")}
    assert now - before == {Path("wavcaps_assets/sources/field_notes.py")}
    changed = [path for path in before if (sandbox.project / path).read_bytes() != (ROOT / path).read_bytes()]
    assert changed == [Path("wavcaps_assets/sources/__init__.py")] and "field_notes" not in MODULES


def store_is_in_bucket(sandbox: Sandbox, output: str) -> None:
    assert "restored to s3://my-bucket/wavcaps" in output
    with pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, sandbox.environment[name])
        moved = open_store("s3://my-bucket/wavcaps", sandbox.environment["WAVCAPS_S3__ENDPOINT_URL"], REGION)
        there = {file.path: moved.read_bytes(file.path) for file in moved.files()}
    folder = Store(sandbox.home / "store")
    assert there == {file.path: folder.read_bytes(file.path) for file in folder.files()}
    assert any(path.startswith(ANSWERS) for path in there)


def home_is_restored(sandbox: Sandbox, output: str) -> None:
    assert "is complete: made" in output
    restored, old = Store(sandbox.folder / "data" / "restored"), Store(sandbox.home / "store")
    there = {file.path: file.size for file in restored.files()}
    assert there == {file.path: file.size for file in old.files()} and len(there) > 100
    for name in ("history/runs.db", "schedules/schedules.db", "dagster.yaml"):
        assert (sandbox.folder / "data" / "home" / name).exists()


def state_is_shown(sandbox: Sandbox, output: str) -> None:
    assert "FreeSound" in output and "schedule: off" in output and "disk left: " in output


def alert_is_sent(sandbox: Sandbox, output: str) -> None:
    assert output == "webhook: delivered\n"
    (asked,) = sandbox.hooks.asked
    assert b"A test of the alerts" in asked.body


def crawl_is_complete(sandbox: Sandbox, output: str) -> None:
    store = Store(sandbox.folder / "data" / "fresh")
    assert TableStore(store).read(["local_folder", "audio"]).num_rows == 2
    assert "raw_clips" in output


def bucket_is_made(sandbox: Sandbox, client: Any) -> None:
    client.create_bucket(Bucket="my-bucket", CreateBucketConfiguration={"LocationConstraint": REGION})


def webhook_is_set(sandbox: Sandbox, client: Any) -> None:
    sandbox.environment["WAVCAPS_ALERTS__WEBHOOK_URL"] = f"{sandbox.hooks.url}/alerts"


def no_settings(sandbox: Sandbox, client: Any) -> None:
    (sandbox.project / ".env").unlink()


def two_sounds_are_waiting(sandbox: Sandbox, client: Any) -> None:
    sounds = sandbox.folder / "data" / "sounds"
    sounds.mkdir()
    for number in range(2):
        noise = np.random.default_rng(number).uniform(-0.5, 0.5, 32_000)
        soundfile.write(sounds / f"{number}.wav", noise, 32_000)
    (sounds / "clips.csv").write_text("file,description\n0.wav,Rain falls on a roof.\n1.wav,A waterfall.\n")
    settings = {"SOURCES": "live", "STORE": sandbox.folder / "data" / "fresh", "LOCAL_FOLDER__PATH": sounds}
    lines = [f"WAVCAPS_{name}={value}\n" for name, value in settings.items()]
    (sandbox.project / ".env").write_text("".join(lines) + "WAVCAPS_SOURCE_NAMES=local_folder\n")


def two_versions_are_published(sandbox: Sandbox, client: Any) -> None:
    tables = TableStore(Store(sandbox.home / "store"))
    for caption in ("A dog barks.", "A dog barks twice."):
        rows = MANIFEST.from_rows([manifest_row("soundbible-1", "soundbible", caption=caption)])
        publish_version(tables, Stage(rows, DROPPED.empty()), ["soundbible"], "run", utc_now())


# What is there before a section, and what its commands lead to.
BEFORE: dict[str, Callable[[Sandbox, Any], None]] = {
    "Moving to a bucket": bucket_is_made,
    "Changing a prompt": two_versions_are_published,
    "First real keys": no_settings,
    "Resuming": two_sounds_are_waiting,
    "Alerts": webhook_is_set,
}
AFTER: dict[str, Callable[[Sandbox, str], None]] = {
    "First real keys": keys_are_read,
    "Changing a prompt": prompt_is_another,
    "Adding a source": source_is_there,
    "Moving to a bucket": store_is_in_bucket,
    "Backup and restore": home_is_restored,
    "Resuming": crawl_is_complete,
    "Tonight": state_is_shown,
    "Alerts": alert_is_sent,
}


@pytest.mark.parametrize("title", blocks())
def test_section(title: str, sandbox: Sandbox, s3_client: Any) -> None:
    if before := BEFORE.get(title):
        before(sandbox, s3_client)
    output = "".join(sandbox.run(script) for script in blocks()[title])
    if after := AFTER.get(title):
        after(sandbox, output)


def test_the_sections_are_those_of_the_page() -> None:
    assert (BEFORE.keys() | AFTER.keys()) <= blocks().keys()
    programs = {
        name
        for scripts in blocks().values()
        for name in NOT_RUN
        if re.search(rf"^{name} ", "".join(scripts), re.M)
    }
    assert programs == NOT_RUN.keys()
