"""`wavcaps import`, as docs/import.md shows it, and what it refuses."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.importing.released import flac, tarred, write_json
from tests.support.paths import ROOT
from tests.support.rows import raw_row
from wavcaps_assets.captioning.presets import choose_settings
from wavcaps_assets.captioning.settings import CaptioningChoice
from wavcaps_assets.filtering import FilterSettings
from wavcaps_assets.importing import lasting
from wavcaps_assets.importing.command import import_set
from wavcaps_assets.importing.importing import CannotImport, build_tables, write_import
from wavcaps_assets.importing.reading import find_set
from wavcaps_assets.network.errors import BadAnswer
from wavcaps_assets.rules.settings import RULE_PRESETS, RuleChoice
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources, known_sources, require_sources
from wavcaps_assets.sources.imported import imported_sets, index_path
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED, RAW_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

PAGE = (ROOT / "docs" / "import.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^wavcaps import(.*?)(?: *#.*)?$", re.MULTILINE)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(import_set, arguments)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WAVCAPS_SOURCES", "live")
    return tmp_path / "home"


@pytest.fixture
def one_clip(tmp_path: Path) -> Path:
    folder = tmp_path / "WavCaps"
    write_json(folder / "json_files/FreeSound/fsd_final.json", [{"id": "1", "caption": "A dog barks."}])
    (folder / "Zip_files/FreeSound").mkdir(parents=True)
    (folder / "Zip_files/FreeSound/1.flac").write_bytes(flac(1))
    return folder


def test_the_commands_of_the_page_work(home: Path, one_clip: Path) -> None:
    commands = COMMAND.findall(PAGE)
    assert len(commands) >= 2
    for command in commands:
        result = run(*command.replace("/data/WavCaps", str(one_clip)).split())
        assert result.exit_code == 0, (command, result.output)
    assert "freesound" in imported_sets(Settings().state)
    assert run("--forget", "freesound").exit_code == 0
    assert imported_sets(Settings().state) == {}


@pytest.mark.parametrize("variables", [lasting.OF_A_RUN, [lasting.OF_A_CODE_SERVER]])
def test_an_import_that_would_end_with_its_pod_is_refused(
    variables: list[str], home: Path, one_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in variables:
        monkeypatch.setenv(name, "x")
    # The pod's own disk is that of its root.
    monkeypatch.setattr(lasting, "ROOT", one_clip)
    refused = run(str(one_clip))
    assert refused.exit_code == 1 and "mount a volume" in refused.output
    assert imported_sets(Settings().state) == {}
    assert run(str(one_clip), "--dry-run").exit_code == 0
    # A volume.
    monkeypatch.setattr(lasting, "ROOT", Path("/proc"))
    assert run(str(one_clip)).exit_code == 0
    assert "freesound" in imported_sets(Settings().state)


def test_a_set_without_any_audio_is_said_to_publish_nothing(home: Path, one_clip: Path) -> None:
    assert "has audio here" not in run(str(one_clip)).output
    (one_clip / "Zip_files/FreeSound/1.flac").unlink()
    assert "No clip of freesound has audio here" in run(str(one_clip), "--dry-run").output


def test_the_settings_of_the_page_exist() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    steps = {name: step["config"] for name, step in yaml.safe_load(block)["ops"].items()}
    assert FilterSettings.model_validate(steps["filtered_clips"]).min_duration_s == 1.5
    assert choose_settings("freesound", False, CaptioningChoice.model_validate(steps["llm_captions"]))
    assert RuleChoice.model_validate(steps["captions"]).preset in RULE_PRESETS
    assert "as_given" in RULE_PRESETS


def test_an_imported_source_takes_the_place_of_the_crawled_one(home: Path, one_clip: Path) -> None:
    assert "crawl_freesound" in run(str(one_clip)).output
    named = [source for source in known_sources(Settings()) if source.name == "freesound"]
    assert [source.partitions() for source in named] == [["imported"]]
    assert [source.name for source in all_sources(Settings())] == ["freesound"]


def test_a_source_of_another_name_can_be_chosen(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tarred(tmp_path / "sounds/0.tar", {"1.flac": flac(1), "1.json": b'{"text": ["A dog."]}'})
    assert run(str(tmp_path / "sounds"), "--source", "LAION 630k").exit_code == 0
    require_sources(["laion_630k"])
    monkeypatch.setenv("WAVCAPS_SOURCE_NAMES", "laion_630k")
    (source,) = all_sources(Settings())
    assert source.as_given and source.folder == (tmp_path / "sounds").resolve()
    monkeypatch.setenv("WAVCAPS_IMPORTED__AS_GIVEN", "no")
    (source,) = all_sources(Settings())
    assert not source.as_given
    with pytest.raises(ValueError, match="did you mean 'laion_630k'"):
        require_sources(["laion"])


def test_two_sources_with_one_id_are_refused(home: Path, one_clip: Path, tmp_path: Path) -> None:
    tables = TableStore(Store(Settings().store))
    crawled = Stage(RAW_CLIPS.from_rows([raw_row("freesound-1")]), DROPPED.empty())
    tables.write(["freesound", "raw_clips"], "2022-09", crawled)
    refused = run(str(one_clip))
    assert refused.exit_code == 1 and "a clip id would have two sources" in refused.output
    assert imported_sets(Settings().state) == {}
    # Under another name it is a copy, of which the crawled one is published.
    assert run(str(one_clip), "--rename", "freesound=released").exit_code == 0
    copies = [source for source in known_sources(Settings()) if source.name == "released"]
    assert [source.ids_of for source in copies] == ["freesound"]
    other = tmp_path / "other"
    write_json(other / "released.json", [{"id": "2", "caption": "Rain."}])
    refused = run(str(other))
    assert refused.exit_code == 1 and "already imported from" in refused.output
    assert run(str(other), "--replace").exit_code == 0
    assert imported_sets(Settings().state)["released"].path == str(other)


def test_a_rename_takes_no_clips(home: Path, tmp_path: Path) -> None:
    for name in ("fsd_final", "sb_final"):
        write_json(tmp_path / f"set/{name}.json", [{"id": "1", "caption": name}])
    chosen = str(tmp_path / "set")
    unknown = run(chosen, "--rename", "freesnd=released")
    assert unknown.exit_code == 1 and "freesnd cannot be renamed" in unknown.output
    both = run(chosen, "--rename", "freesound=soundbible")
    assert both.exit_code == 1 and "would both be soundbible" in both.output
    assert imported_sets(Settings().state) == {}
    assert run(chosen, "--rename", "FreeSound=soundbible", "--rename", "SoundBible=released").exit_code == 0
    found = imported_sets(Settings().state)
    assert {name: about.ids_of for name, about in found.items()} == {
        "soundbible": "freesound",
        "released": "soundbible",
    }


def test_a_killed_import_does_not_mix_two_sets(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "other"):
        write_json(tmp_path / name / "laion.json", [{"id": "1", "caption": name, "file": "1.flac"}])
    assert run(str(tmp_path / "one")).exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr("wavcaps_assets.importing.importing.write_index", interrupt)
        run(str(tmp_path / "other"), "--replace")
    (source,) = all_sources(Settings())
    with pytest.raises(BadAnswer, match="an import was stopped"):
        source.given_captions()
    assert run(str(tmp_path / "other"), "--replace").exit_code == 0
    (source,) = all_sources(Settings())
    given = source.given_captions()
    assert given is not None and given.column("captions").to_pylist() == [["other"]]


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give the PATH of a set, or --forget a source"),
        (["--forget", "nothing"], "nothing is not imported"),
        (["EMPTY"], "has no file that ends with"),
        (["EMPTY", "--rename", "freesound"], "write OLD=NEW"),
    ],
)
def test_what_is_wrong_is_said(home: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    result = run(*(one.replace("EMPTY", str(tmp_path / "empty")) for one in arguments))
    assert result.exit_code in (1, 2) and message in " ".join(result.output.split())


def test_a_damaged_list_of_imports_is_an_error_that_names_it(home: Path) -> None:
    path = index_path(Settings().state)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(ValueError, match=re.escape(str(path))):
        all_sources(Settings())


@pytest.fixture
def full_disk() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_import_on_a_full_disk_changes_nothing(one_clip: Path, state: Path, full_disk: None) -> None:
    files = find_set(one_clip)
    with pytest.raises(CannotImport, match="cannot be written"):
        write_import(build_tables(files), files, state)
    assert imported_sets(state) == {}
    assert list(index_path(state).parent.iterdir()) == []
