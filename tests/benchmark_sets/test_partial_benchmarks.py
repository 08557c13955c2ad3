"""Benchmarks whose lists are not complete are named wherever a set is compared with them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from wavcaps_assets.benchmark_sets.against import against
from wavcaps_assets.benchmark_sets.benchmarks import benchmark_named
from wavcaps_assets.benchmark_sets.benchmarks.benchmark import BenchmarkClips
from wavcaps_assets.benchmark_sets.decontaminate import OverlapPolicy, decontaminate
from wavcaps_assets.benchmark_sets.evidence import COMPARED
from wavcaps_assets.benchmark_sets.exclusion_lists import CLASSIFICATION
from wavcaps_assets.benchmark_sets.inputs import SetInputs
from wavcaps_assets.benchmark_sets.overlap_report import not_compared
from wavcaps_assets.benchmark_sets.sets import SETS
from wavcaps_assets.checks.contamination import check_free_of
from wavcaps_assets.importing.audit import audit_set
from wavcaps_assets.importing.importing import SetTables
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.imported import IMPORTED_CLIPS

SET = SETS["wavcaps_classification"]
HEADER = "filename,fold,target,category,esc10,src_file,take\n"
# ESC-50 has 2,000 clips (https://github.com/karolpiczak/ESC-50).
PARTIAL = "The lists have 1 of 2,000 official clips"


def _store(root: Path) -> Store:
    store = Store(root)
    store.write_bytes(f"sets/{CLASSIFICATION}.json", b'{"FreeSound": ["555"], "AudioSet": []}')
    store.write_bytes("sets/esc50/meta/esc50.csv", f"{HEADER}1-30322-A-0.wav,1,0,dog,True,30322,A\n".encode())
    return store


def test_the_check_the_report_and_the_audit_say_how_many_of_the_official_clips_there_are(
    tmp_path: Path,
) -> None:
    tables = TableStore(_store(tmp_path))
    names = ("clip_id", "source", "split", "title", "text", "attribution", "page_url")
    nobody = pa.table({name: pa.array([], pa.string()) for name in names})
    outcome = check_free_of(
        nobody, nobody.drop_columns(["source", "split"]), against(tables, SET, "esc50", False)
    )
    assert outcome.passed and PARTIAL in outcome.description
    policy = OverlapPolicy.remove_from_train
    found = decontaminate(COMPARED.empty_table(), SetInputs(tables), SET.excluded, (), policy)
    assert f"- esc50: {PARTIAL}." in not_compared(found.compared).splitlines()
    imported = SetTables({"freesound": IMPORTED_CLIPS.empty()})
    (audited,) = audit_set(imported, "a set", [benchmark_named("esc50")], tables.store).benchmarks
    assert f"{PARTIAL}." in audited.unchecked


@pytest.mark.parametrize(
    ("name", "version", "official"), [("audiocaps", "unknown", "975"), ("vggsound", "1", "15,446")]
)
def test_where_only_the_official_test_list_is_known_it_counts(name: str, version: str, official: str) -> None:
    benchmark = benchmark_named(name)
    few = benchmark.clips(version, {"file": ["a.wav", "b.wav"], "split": ["train", "test"]})
    said = f"The test list has 1 of {official} official clips."
    assert benchmark.lacking(BenchmarkClips(few)) == (said,)


def test_of_an_unknown_version_the_smallest_official_number_counts() -> None:
    clotho = benchmark_named("clotho")
    few = clotho.clips("unknown", {"file": ["a.wav"]})
    found = BenchmarkClips(few, ("A split is not there.",))
    assert clotho.lacking(found) == (
        "A split is not there.",
        "The lists have 1 of at least 3,938 official clips.",
    )
