"""The recipe for a new source, followed: one file, and one line in `sources/__init__.py`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.support.servers import running
from wavcaps_assets import sources
from wavcaps_assets.definitions import build
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.store.storage import open_store
from wavcaps_assets.tables.asset_tables import TableStore

NAME = "dawn_chorus"
FILE = '''
"""Recordings of birds, from a site that lists one a line: its id, and what is heard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import Field

from wavcaps_assets.network.client import Network
from wavcaps_assets.sources.base import Record, Source
from wavcaps_assets.sources.settings import SourceSettings


class DawnChorusSettings(SourceSettings):
    """The site of the recordings."""

    key = "dawn_chorus"

    base_url: str = Field("", description="root of the site; empty: by `sources`")
    years: int = Field(2, ge=1, description="how many years to crawl")

    def defaults(self, demo_url: str | None) -> Mapping[str, object]:
        return {"base_url": f"{demo_url}/dawn" if demo_url else "https://dawn.example"}


class DawnChorus(Source):
    """The crawl of the recordings. A partition is a year."""

    name = "dawn_chorus"
    title = "Dawn Chorus"

    def __init__(self, settings: DawnChorusSettings) -> None:
        self.settings = settings

    def partitions(self) -> list[str]:
        return [str(2020 + year) for year in range(self.settings.years)]

    def records(self, network: Network, partition: str) -> Iterator[Record]:
        for line in network.get_text(f"{self.settings.base_url}/{partition}.txt").splitlines():
            number, heard = line.split(maxsplit=1)
            audio_url = f"{self.settings.base_url}/{number}.wav"
            yield Record(source_id=number, audio_url=audio_url, description=heard, licence="CC0")


def configured(demo_url: str | None, state: Path) -> DawnChorus:
    return DawnChorus(DawnChorusSettings.read(demo_url))
'''

HEARD = {"2020": "1 A blackbird sings.\n2 A robin answers.\n", "2021": "3 A cuckoo calls twice.\n"}


async def dawn(request: Request) -> PlainTextResponse:
    return PlainTextResponse(HEARD[request.path_params["year"]])


@pytest.fixture
def url() -> Iterator[str]:
    with running(Starlette(routes=[Route("/{year}.txt", dawn)])) as served:
        yield served


@pytest.fixture
def new_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / f"{NAME}.py").write_text(FILE)
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(folder)])
    monkeypatch.setattr(sources, "MODULES", (*sources.MODULES, NAME))
    yield
    sys.modules.pop(f"{sources.__name__}.{NAME}", None)


@pytest.mark.slow
@pytest.mark.usefixtures("new_source")
def test_a_new_source_is_one_file_and_one_line(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("WAVCAPS_DAWN_CHORUS__BASE_URL", url)
    host = url.partition("://")[2]
    monkeypatch.setenv("WAVCAPS_NETWORK__PRIVATE_HOSTS", json.dumps([host]))
    definitions = build(Settings())
    graph = definitions.resolve_asset_graph()
    names = {key.path[1] for key in graph.get_all_asset_keys() if key.path[0] == NAME}
    assert names == {"raw_clips", "audio", "fingerprints", "ledger"}
    by_source = graph.get(dg.AssetKey("filtered_clips")).partitions_def
    assert by_source is not None and NAME in by_source.get_partition_keys()
    job = definitions.resolve_job_def(f"crawl_{NAME}")
    with dg.instance_for_test() as instance:
        for year in HEARD:
            ran = job.execute_in_process(
                partition_key=year, instance=instance, asset_selection=[dg.AssetKey([NAME, "raw_clips"])]
            )
            assert ran.success
    clips = TableStore(open_store(Settings().store)).read([NAME, "raw_clips"]).to_pylist()
    assert {(clip["clip_id"], clip["description"]) for clip in clips} == {
        (f"{NAME}-1", "A blackbird sings."),
        (f"{NAME}-2", "A robin answers."),
        (f"{NAME}-3", "A cuckoo calls twice."),
    }


@pytest.mark.usefixtures("new_source")
def test_its_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = (source for source in all_sources(Settings()) if source.name == NAME)
    assert source.partitions() == ["2020", "2021"]
    monkeypatch.setenv("WAVCAPS_DAWN_CHORUS__YEARS", "3")
    (source,) = (source for source in all_sources(Settings()) if source.name == NAME)
    assert source.partitions() == ["2020", "2021", "2022"]
    monkeypatch.setenv("WAVCAPS_DAWN_CHORUS__YEARS", "none")
    with pytest.raises(ValidationError, match=r"dawn_chorus\.years"):
        all_sources(Settings())
