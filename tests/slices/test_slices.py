"""Which clips may be used for what, and why the others may not."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from tests.support.rows import manifest_row
from wavcaps_assets.clock import utc_now
from wavcaps_assets.crawl.licences import NAMED, SPDX_PORTS, TERMS
from wavcaps_assets.publishing.publish_version import publish_version
from wavcaps_assets.slices.attributions import attributions_csv, attributions_text
from wavcaps_assets.slices.command import slice_set
from wavcaps_assets.slices.counts import clips_by_class
from wavcaps_assets.slices.licence_classes import BY_LICENCE, LICENCE_CLASSES, licence_class_of
from wavcaps_assets.slices.preferences import PREFERENCES
from wavcaps_assets.slices.select import EmptySlice, UnknownSource, make_slice
from wavcaps_assets.slices.settings import SliceSettings
from wavcaps_assets.slices.uses import USES
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED, MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

FREE = "no-additional-preferences"
DEFAULTS = SliceSettings()


def clips(*rows: dict[str, Any]) -> pa.Table:
    return MANIFEST.from_rows(rows)


def freesound(number: int, licence: str = "CC0-1.0", preference: str | None = FREE) -> dict[str, Any]:
    return manifest_row(f"freesound-{number}", licence_id=licence, gen_ai_preference=preference)


def permitted(clip: dict[str, Any], settings: SliceSettings = DEFAULTS) -> set[str]:
    """The uses of one clip. The second clip is permitted for all, so that no slice is empty."""
    other = freesound(999_999)
    found = set()
    for use in USES.values():
        stage = make_slice(clips(clip, other), use, settings)
        assert stage.kept.num_rows + stage.dropped.num_rows == 2
        if clip["clip_id"] in stage.kept.column("clip_id").to_pylist():
            found.add(use.name)
        else:
            (reason,) = stage.dropped.to_pylist()
            assert reason["clip_id"] == clip["clip_id"] and reason["reason"] and reason["detail"]
    return found


ALL = {"research", "non_commercial", "commercial", "open_source_models"}
NOT_SOLD = {"research", "non_commercial"}


@pytest.mark.parametrize(
    ("licence", "uses"),
    [
        ("CC0-1.0", ALL),
        ("CC-BY-4.0", ALL),
        ("CC-BY-3.0-AU", ALL),
        ("HTTP://CreativeCommons.org/Licenses/BY/2.5/", ALL),
        ("cc-by-4.0", ALL),
        ("CC-BY-SA-4.0", NOT_SOLD),
        ("CC-BY-NC-3.0", NOT_SOLD),
        ("CC-BY-NC-SA-2.0-UK", NOT_SOLD),
        ("CC-BY-ND-4.0", {"research"}),
        ("CC-BY-NC-ND-4.0", {"research"}),
        ("LicenseRef-Sampling-Plus-1.0", NOT_SOLD),
        ("LicenseRef-RemArc", NOT_SOLD),
        ("LicenseRef-SoundBible-Personal-Use", set()),
        ("LicenseRef-unknown", set()),
        ("CC-BY-9.9", set()),
        ("", set()),
    ],
)
def test_what_a_licence_permits(licence: str, uses: set[str]) -> None:
    assert permitted(freesound(1, licence)) == uses


@pytest.mark.parametrize(
    ("preference", "uses", "uses_if_open"),
    [
        (FREE, ALL, ALL),
        ("open-source-models", {"open_source_models"}, {"open_source_models", "non_commercial"}),
        ("noncommercial-open-source-models", set(), {"non_commercial"}),
        ("no-gen-ai", set(), set()),
        ("a-value-of-next-year", set(), set()),
        (None, set(), set()),
    ],
)
def test_what_a_preference_permits(preference: str | None, uses: set[str], uses_if_open: set[str]) -> None:
    clip = freesound(1, "CC-BY-4.0", preference)
    assert permitted(clip) == uses
    assert permitted(clip, SliceSettings(released_openly=True)) == uses_if_open
    assert permitted(clip, SliceSettings(generative=False)) == ALL


def test_the_licence_holds_whatever_the_author_wishes() -> None:
    # FreeSound: the restrictions of BY-NC still apply to open-source models.
    assert permitted(freesound(1, "CC-BY-NC-4.0", "open-source-models")) == set()
    openly = SliceSettings(released_openly=True)
    assert permitted(freesound(1, "CC-BY-NC-4.0", "open-source-models"), openly) == {"non_commercial"}


def test_a_source_that_asks_nobody_has_no_preference() -> None:
    assert permitted(manifest_row("soundbible-1", "soundbible", licence_id="CC-BY-3.0")) == ALL


def test_what_the_user_has_cleared() -> None:
    own = manifest_row("local_folder-1", "local_folder", licence_id="LicenseRef-unknown")
    assert permitted(own) == set()
    assert permitted(own, SliceSettings(cleared_sources=["local_folder"])) == ALL
    shared = SliceSettings(cleared_licence_classes=["attribution_share_alike"])
    assert permitted(freesound(1, "CC-BY-SA-4.0"), shared) == ALL
    assert permitted(freesound(1, "CC-BY-SA-4.0", "no-gen-ai"), shared) == set()


def test_a_name_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValidationError, match="no class of licences 'by'; there are public_domain"):
        SliceSettings(cleared_licence_classes=["by"])
    table = clips(manifest_row("mine-1", "mine"))
    for settings in (SliceSettings(sources=["freesond"]), SliceSettings(cleared_sources=["freesond"])):
        with pytest.raises(UnknownSource, match=r"no source 'freesond': there are audioset_sl.*mine"):
            make_slice(table, USES["research"], settings)
    assert make_slice(table, USES["research"], SliceSettings(sources=["mine"])).kept.num_rows == 1


def test_an_imported_clip_of_freesound_is_known_by_its_page() -> None:
    page = "https://www.FreeSound.org/people/x/sounds/1/"
    released = manifest_row("released_one-1", "released_one", page_url=page)
    assert permitted(released) == set()
    assert permitted(released | {"gen_ai_preference": FREE}) == ALL
    assert permitted(released | {"page_url": "https://example.org/freesound.org/"}) == ALL


def test_every_licence_has_one_class() -> None:
    named = {licence.name for licence in NAMED.values()} | set(TERMS) | {"unknown"}
    assert named == set(BY_LICENCE)
    assert sum(len(found.licences) for found in LICENCE_CLASSES) == len(BY_LICENCE)
    for found in LICENCE_CLASSES:
        assert found.source and found.conditions and bool(found.why_not) == (found.uses < USES.keys())
        assert {licence_class_of(spdx) for spdx in found.spdx} == {found}
    assert all(licence_class_of(port).name != "unknown" for port in SPDX_PORTS)
    assert all(preference.uses <= USES.keys() for preference in PREFERENCES.values())


def test_other_filters() -> None:
    table = clips(
        freesound(1) | {"duration_s": 0.5},
        freesound(2) | {"duration_s": 90.0},
        freesound(3) | {"synthetic": True},
        freesound(4) | {"is_explicit": True},
        freesound(5),
        freesound(6),
        freesound(7) | {"synthetic": False},
        manifest_row("soundbible-1", "soundbible"),
        freesound(8),
    )
    measures = pa.table(
        {
            "clip_id": ["freesound-5", "freesound-6", "freesound-7"],
            "clipped_share": [0.5, 0.0, 0.0],
            "silence_share": [0.0, 0.9, 0.1],
            "bandwidth_hz": [16_000.0, 16_000.0, 16_000.0],
        }
    )
    settings = SliceSettings(
        sources=["freesound"],
        shortest_s=1.0,
        longest_s=60.0,
        synthetic=False,
        explicit=False,
        most_clipping=0.1,
        most_silence=0.5,
    )
    stage = make_slice(table, USES["commercial"], settings, measures)
    assert stage.kept.column("clip_id").to_pylist() == ["freesound-7"]
    assert {row["clip_id"]: row["reason"] for row in stage.dropped.to_pylist()} == {
        "freesound-1": "too_short",
        "freesound-2": "too_long",
        "freesound-3": "synthetic",
        "freesound-4": "is_explicit",
        "freesound-5": "clipped",
        "freesound-6": "silent",
        "soundbible-1": "source_not_chosen",
        "freesound-8": "not_measured",
    }


def test_an_empty_slice_is_an_error_that_says_why() -> None:
    table = clips(
        *(freesound(number, preference="no-gen-ai") for number in range(3)), freesound(9, "nothing known")
    )
    expected = r"none of 4 clips .* commercial use: 3: no-gen-ai .*; 1: the licence"
    with pytest.raises(EmptySlice, match=expected):
        make_slice(table, USES["commercial"], DEFAULTS)
    with pytest.raises(EmptySlice, match="the set has none"):
        make_slice(MANIFEST.empty(), USES["commercial"], DEFAULTS)


def test_attributions() -> None:
    table = clips(
        freesound(1, "CC-BY-4.0")
        | {"title": 'a "rainy" day,\nwet', "author": "=cmd()", "attribution": "“a day” by =cmd(), CC BY 4.0"},
        freesound(2),
    )
    rows = list(csv.DictReader(attributions_csv(table).decode().splitlines(keepends=True)))
    assert [row["clip_id"] for row in rows] == ["freesound-1", "freesound-2"]
    assert rows[0]["title"] == 'a "rainy" day,\nwet' and rows[0]["author"] == "'=cmd()"
    assert rows[0]["licence_url"] == "https://creativecommons.org/licenses/by/4.0/"
    text = attributions_text(table, "Attributions").decode()
    assert "Attribution: 1 clips (CC-BY-4.0)" in text and "“a day” by =cmd(), CC BY 4.0" in text
    assert clips_by_class(table) == {"public domain": 1, "attribution": 1}


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")
    table = clips(freesound(1, "CC-BY-4.0"), freesound(2, "CC-BY-NC-4.0"))
    publish_version(TableStore(store), Stage(table, DROPPED.empty()), ["freesound"], "run", utc_now())
    monkeypatch.setenv("WAVCAPS_STORE", str(tmp_path / "store"))
    runner = CliRunner()
    shown = runner.invoke(slice_set, ["--use", "commercial", "--out", str(tmp_path / "out")])
    assert shown.exit_code == 0, shown.output
    assert "1 of 2 clips of v1-" in shown.output
    assert "1  the licence CC-BY-NC-4.0 (non-commercial) is not" in shown.output
    assert pq.read_table(tmp_path / "out" / "slice.parquet").column("clip_id").to_pylist() == ["freesound-1"]
    assert "freesound-2" in (tmp_path / "out" / "dropped.csv").read_text()
    assert {"ATTRIBUTIONS.txt", "attributions.csv"} < {path.name for path in (tmp_path / "out").iterdir()}
    empty = runner.invoke(slice_set, ["--use", "commercial", "--shortest", "100"])
    assert empty.exit_code == 1 and "none of 2 clips" in empty.output
    unknown = runner.invoke(slice_set, ["--use", "commercial", "--cleared-source", "nobody"])
    assert unknown.exit_code == 1 and "no source 'nobody'" in unknown.output
