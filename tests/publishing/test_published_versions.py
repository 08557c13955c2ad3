"""Versions as a person meets them: the asset's page, what is made of the set, the report, their removal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.support.rows import audio_row, manifest_row
from wavcaps_assets.defs.publishing import publishing_assets, publishing_checks
from wavcaps_assets.defs.table_io_manager import ALLOW_FEWER_ROWS
from wavcaps_assets.defs.training_sets import training_set_assets
from wavcaps_assets.defs.wiring import resources
from wavcaps_assets.retention.unused import find_unused
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources.base import Record, Source
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import AUDIO, DROPPED, MANIFEST, RECORDINGS
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore, set_version_of
from wavcaps_assets.tables.set_versions import FOLDER, SetVersions
from wavcaps_assets.tables.stage import Stage
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT
from wavcaps_training.report.render import write_report
from wavcaps_training.tables import CHECKPOINT

SOURCE = "soundbible"
DAY = 86_400.0
CAPTIONS = [
    *("A dog barks twice in a yard.", "Rain falls on a tin roof.", "A train passes at full speed."),
    *("Glass breaks on a stone floor.", "A crowd claps and cheers.", "Wind blows through dry leaves."),
]


class OneSource(Source):
    name, title = SOURCE, "SoundBible"

    def partitions(self) -> list[str]:
        return ["one"]

    def records(self, network: object, partition: str) -> Iterator[Record]:
        return iter(())


def rows(clips: Sequence[int], **changes: Any) -> list[dict[str, Any]]:
    return [
        manifest_row(
            f"{SOURCE}-{clip}",
            SOURCE,
            caption=f"{CAPTIONS[clip % len(CAPTIONS)][:-1]}, take {'i' * (clip // len(CAPTIONS) + 1)}.",
            text=f"{CAPTIONS[clip % len(CAPTIONS)]} {clip}",
            audio_path=f"audio/{SOURCE}/one/{clip}.flac",
            **changes,
        )
        for clip in clips
    ]


class Pipeline:
    """The manifest of a source, as tables; `wavcaps` and `training_manifest` are materialized of it."""

    def __init__(self, folder: Path) -> None:
        self.tables = TableStore(Store(folder))
        self.settings = Settings(store=str(folder))

    def publish(self, clips: Sequence[dict[str, Any]], **tags: str) -> dg.ExecuteInProcessResult:
        self.tables.write(["manifest"], SOURCE, Stage(MANIFEST.from_rows(clips), DROPPED.empty()))
        self.tables.write(["recordings"], None, RECORDINGS.empty())
        source = OneSource()
        _, wavcaps = publishing_assets([source], self.settings)
        _, training_manifest = training_set_assets(self.settings)
        upstream = [
            dg.AssetSpec("manifest", partitions_def=dg.StaticPartitionsDefinition([SOURCE])),
            dg.AssetSpec("recordings"),
        ]
        return dg.materialize(
            [*upstream, wavcaps, training_manifest, *publishing_checks([source])],
            selection=dg.AssetSelection.assets("wavcaps", "training_manifest"),
            resources=resources(self.settings),
            tags=tags,
            raise_on_error=False,
        )

    @property
    def versions(self) -> SetVersions:
        return SetVersions(self.tables.store)


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path / "store")


def shown(result: dg.ExecuteInProcessResult, asset: str = "wavcaps") -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


@pytest.mark.slow
def test_the_assets_page_says_what_changed_and_a_manifest_names_its_version(pipeline: Pipeline) -> None:
    assert pipeline.publish(rows(range(40))).success
    changed = rows(range(1, 41))
    changed[0]["caption"] = "A cat meows loudly at night."
    changed[1]["gen_ai_preference"] = "no-gen-ai"
    result = pipeline.publish(changed)
    assert result.success
    page, (first, second) = shown(result), pipeline.versions.names()
    assert (page["version"], page["previous version"]) == (second, first)
    assert [page[name] for name in ("added", "removed", "re-captioned", "re-licensed")] == [1, 1, 1, 0]
    assert "A cat meows loudly at night." in page["re-captioned, examples"]
    assert page["changed preference"] == 1 and "no-gen-ai" in page["changed preference, examples"]
    assert Path(page["changelog"]).read_text().startswith(f"# {second}: what changed since {first}")
    for key in (["wavcaps"], ["training_manifest"]):
        assert set_version_of(pipeline.tables.read(key, [WHOLE])) == second
    again = shown(pipeline.publish(changed))
    assert (again["version"], again["added"]) == (f"{second}, unchanged", 0)
    assert pipeline.versions.names() == [first, second]


@pytest.mark.slow
def test_a_set_that_is_refused_is_no_version(pipeline: Pipeline) -> None:
    assert pipeline.publish(rows(range(40))).success
    before = pipeline.versions.names()
    # Far fewer rows, and captions that no check lets through.
    assert not pipeline.publish(rows(range(10))).success
    assert not pipeline.publish([{**row, "caption": "the sound of sound"} for row in rows(range(40))]).success
    assert pipeline.versions.names() == before
    assert pipeline.publish(rows(range(10)), **{ALLOW_FEWER_ROWS: "yes"}).success
    assert len(pipeline.versions.names()) == 2


@pytest.mark.slow
def test_old_versions_are_removed_but_not_what_a_checkpoint_names(pipeline: Pipeline) -> None:
    store = pipeline.tables.store
    for first in range(4):
        # Each version lacks the first clip of the one before.
        assert pipeline.publish(rows(range(first, 40))).success
    names = pipeline.versions.names()
    for clip in range(40):
        store.write_bytes(f"audio/{SOURCE}/one/{clip}.flac", b"12345")
    audio = [
        audio_row(f"{SOURCE}-{n}", SOURCE, audio_path=f"audio/{SOURCE}/one/{n}.flac") for n in range(3, 40)
    ]
    pipeline.tables.write([SOURCE, "audio"], "one", AUDIO.from_rows(audio))
    of_type = {"string": "x", "double": 1.0, "int32": 1, "int64": 1}
    row = {field.name: of_type.get(str(field.type), []) for field in CHECKPOINT.arrow} | {
        "set_version": names[1]
    }
    pipeline.tables.write(["checkpoint", "htsat_bert", "demo"], None, CHECKPOINT.from_rows([row]))
    left_by_a_killed_run = f"{FOLDER}/v9-00000000.parquet"
    store.write_bytes(left_by_a_killed_run, b"")

    def unused(keep: int, days: float = 0.0) -> list[str]:
        found = find_unused(store, store.files(), time.time() + DAY - days * DAY, keep)
        return [file.path for file in found]

    assert unused(30) == [left_by_a_killed_run]
    assert unused(1, days=2) == []
    # The description first.
    files = (".json", ".changelog.md", ".changes.parquet", ".parquet")
    expected = [f"{FOLDER}/{name}{file}" for name in (names[0], names[2]) for file in files]
    # The clip that only the first version has; the version of the checkpoint has the next ones.
    assert unused(1) == [*expected, left_by_a_killed_run, f"audio/{SOURCE}/one/0.flac"]
    store.remove_files(unused(1))
    assert pipeline.versions.names() == [names[1], names[3]]
    assert pipeline.versions.read(pipeline.versions.find(names[1])).num_rows == 39
    # A version is published after a pruned one, too.
    assert pipeline.publish(rows(range(5, 40))).success and len(pipeline.versions.names()) == 3


@pytest.mark.slow
def test_the_report_shows_the_versions(pipeline: Pipeline) -> None:
    changed = rows(range(1, 41))
    changed[0]["caption"] = "A cat meows & purrs at night."
    assert pipeline.publish(rows(range(40))).success and pipeline.publish(changed).success
    write_report(pipeline.tables, [OneSource()], DEMO_EXPERIMENT)
    page = pipeline.tables.store.read_bytes("report.html").decode()
    section = page.partition('<section id="set-versions"')[2].partition("</section>")[0]
    assert all(f'<th scope="row">{name}</th>' in section for name in pipeline.versions.names())
    assert "A cat meows &amp; purrs at night." in section
    assert f"<bdi>{SOURCE}-0</bdi>" in section and "unknown" in section
