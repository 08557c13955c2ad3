"""Two processes that import at the same time: the list of imported sources has what both imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.importing.released import write_json
from tests.support.paths import ROOT
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources.imported import imported_sets, index_path

# `wavcaps import SET --source NAME`, that has read the list when it makes the file BUSY; and it writes the
# list when the file GO is there, or after a second.
SLOW = """
import sys, time
from pathlib import Path
from wavcaps_assets.importing import importing
from wavcaps_assets.importing.command import import_set

busy, go, chosen = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
write = importing.write_index

def slowly(*given):
    busy.touch()
    until = time.monotonic() + 1
    while not go.exists() and time.monotonic() < until:
        time.sleep(0.01)
    write(*given)

importing.write_index = slowly
import_set(chosen)
"""
# `wavcaps import`, as soon as the file BUSY is there. The file DONE says that it has ended.
OTHER = """
import sys, time
from pathlib import Path
from wavcaps_assets.importing.command import import_set

busy, done, chosen = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
while not busy.exists():
    time.sleep(0.01)
try:
    import_set(chosen)
finally:
    done.touch()
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def at_once(folder: Path, first: list[str], second: list[str]) -> list[subprocess.CompletedProcess[str]]:
    """Imports twice; the second starts when the first has read the list of sources, before it writes it."""
    files = [str(folder / "busy"), str(folder / "go")]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, *files, *chosen],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for script, chosen in ((SLOW, first), (OTHER, second))
    ]
    ended = []
    for process in processes:
        output, _ = process.communicate(timeout=60)
        ended.append(subprocess.CompletedProcess(process.args, process.returncode, output))
    return ended


@pytest.mark.slow
def test_what_two_processes_import_is_all_listed(home: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_json(tmp_path / name / "laion.json", [{"id": "1", "caption": name}])
    ended = at_once(
        tmp_path,
        [str(tmp_path / "one"), "--rename", "laion=one"],
        [str(tmp_path / "other"), "--rename", "laion=other"],
    )
    assert [one.returncode for one in ended] == [0, 0], [one.stdout for one in ended]
    assert sorted(imported_sets(Settings().state)) == ["one", "other"]


@pytest.mark.slow
def test_one_name_is_not_imported_from_two_folders_at_once(home: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_json(tmp_path / name / "laion.json", [{"id": "1", "caption": name}])
    first, second = at_once(tmp_path, [str(tmp_path / "one")], [str(tmp_path / "other")])
    assert first.returncode == 0, first.stdout
    assert second.returncode == 1 and "already imported from" in " ".join(second.stdout.split())
    assert imported_sets(Settings().state)["laion"].path == str(tmp_path / "one")
    assert [path.name for path in index_path(Settings().state).parent.glob("*.parquet")] == ["laion.parquet"]
