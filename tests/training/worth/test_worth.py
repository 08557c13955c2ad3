"""What a change is worth, from published versions to the page: real training on known features."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner

from tests.support.rows import manifest_row
from wavcaps_assets.publishing.publish_version import publish_version
from wavcaps_assets.store.storage import Store, StoreError
from wavcaps_assets.tables import DROPPED, MANIFEST, RECORDINGS
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage
from wavcaps_training.checkpoints.checkpoint import load_checkpoint
from wavcaps_training.data import AudioFiles, AudioReadError, clips_of
from wavcaps_training.evaluation.clip_features import features_version, known_features
from wavcaps_training.evaluation.ranking import score_retrieval
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.tables import AUDIO_EMBEDDINGS, WORTH
from wavcaps_training.training.train import RunOptions, train
from wavcaps_training.worth.command import worth
from wavcaps_training.worth.comparing import Question, answer, model_of
from wavcaps_training.worth.composing import NothingToCompare, compose
from wavcaps_training.worth.frozen import embed_features, train_projections
from wavcaps_training.worth.job import Request, Worth, what_is_it_worth
from wavcaps_training.worth.page import render
from wavcaps_training.worth.pools import read_pool
from wavcaps_training.worth.seed_runs import RUNS, Machine
from wavcaps_training.worth.sides import BadSide, Side, parse_side

pytestmark = pytest.mark.slow

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SOUNDS = (
    *("A dog is barking.", "Rain is falling.", "An engine is running.", "A bird is singing."),
    *("A bell is ringing.", "People are talking.", "Glass is breaking.", "A guitar is playing."),
)
CLIPS = 160
SETTINGS = {"epochs": 6}
HOSTILE = "<script>alert(1)</script> a dog"


def clip(number: int, caption: str) -> dict[str, Any]:
    name = f"{('freesound', 'soundbible')[number % 2]}-{number}"
    return manifest_row(
        clip_id=name,
        source=name.partition("-")[0],
        source_id=str(number),
        caption=caption,
        text=f"raw {caption}",
        audio_path=f"audio/{name}.flac",
        samples_sha256=hashlib.sha256(name.encode()).hexdigest(),
        duration_s=2.0,
        recording=f"recording {number // 4}",
    )


def features(rows: list[dict[str, Any]]) -> pa.Table:
    """Features that say which of the sounds a clip is, with noise."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(len(SOUNDS), 512))
    version = features_version(model_of(SETTINGS, 2).settings)
    return AUDIO_EMBEDDINGS.from_rows(
        {
            "clip_id": row["clip_id"],
            "samples_sha256": row["samples_sha256"],
            "features_version": version,
            "embedding": (centres[int(row["source_id"]) % 8] + generator.normal(size=512)).tolist(),
        }
        for row in rows
    )


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> TableStore:
    """Three versions: as it should be; with one hostile caption; with the captions of other sounds."""
    tables = TableStore(Store(tmp_path_factory.mktemp("store")))
    good = [clip(number, SOUNDS[number % 8]) for number in range(CLIPS)]
    odd = [*good[:5], {**good[5], "caption": HOSTILE}, *good[6:]]
    wrong = [{**row, "caption": SOUNDS[(int(row["source_id"]) + 3) % 8]} for row in good]
    for rows in (good, odd, wrong):
        stage = Stage(MANIFEST.from_rows(rows), DROPPED.empty())
        publish_version(tables, stage, ["freesound", "soundbible"], "run", NOW)
    tables.write(["wavcaps"], None, MANIFEST.from_rows(good))
    tables.write(["recordings"], None, RECORDINGS.empty())
    tables.write(["audio_embeddings", "aisfx"], None, features(good))
    return tables


def asked(tables: TableStore, folder: Path, *sides: str, seeds: int = 3, **options: str) -> Worth:
    request = Request(*sides, **options)
    return what_is_it_worth(request, model_of(SETTINGS, seeds), tables, Machine(folder))


def test_a_large_change_is_found_and_the_page_says_what_changed(tables: TableStore, tmp_path: Path) -> None:
    found = asked(tables, tmp_path, "v1", "v3")
    rows = found.table.to_pylist()
    assert found.table.schema.names == WORTH.arrow.names
    deciding = [row for row in rows if row["decides"]]
    assert [row["metric"] for row in deciding] == ["R@1", "R@5", "R@10"]
    last = deciding[-1]
    assert last["difference"] < 0
    assert last["p_corrected"] < 0.05
    assert last["high"] < 0
    assert last["before_low"] <= last["before_value"] <= last["before_high"]
    # Of other captions, the other side is better, and the page says so.
    assert {row["references"] for row in rows} == {row["before"] for row in rows} | {
        row["after"] for row in rows
    }
    assert "opposite" in found.shown[0].headline
    page = tables.store.read_bytes(found.page).decode()
    # The answer is never cut in the middle of its sentence.
    assert len(found.shown[0].headline) > 300
    assert found.shown[0].headline in page
    assert "Re-captioned" in page
    assert "A dog is barking." in page
    # What is trained is not trained again.
    runs = tables.store.sizes(RUNS)
    written = {name: (tables.store.root / RUNS / name).stat().st_mtime_ns for name in runs}
    assert len(runs) == 6
    assert asked(tables, tmp_path, "v1", "v3").table == found.table
    more = asked(tables, tmp_path, "v1", "v3", seeds=4)
    assert more.table["seeds"][0].as_py() == 4
    assert len(tables.store.sizes(RUNS)) == 8
    assert all((tables.store.root / RUNS / name).stat().st_mtime_ns == at for name, at in written.items())


def test_the_same_set_is_no_change_and_nothing_is_trained(tables: TableStore, tmp_path: Path) -> None:
    before = len(tables.store.sizes(RUNS))
    found = asked(tables, tmp_path, "v1", "v1")
    assert found.shown[0].headline.startswith("No change")
    assert found.table["seeds"].to_pylist() == [0] * len(found.table)
    assert len(tables.store.sizes(RUNS)) == before


def recording_of(clip_id: str) -> tuple[str, int]:
    source, _, number = clip_id.partition("-")
    return source, int(number) // 4


def test_no_recording_is_tested_and_trained_on(tables: TableStore) -> None:
    less, whole = (read_pool(parse_side(text), tables) for text in ("v1 without source=freesound", "v3"))
    found = compose(less, whole, whole, tables)
    tested = set(map(recording_of, found.test["clip_id"].to_pylist()))
    assert len(tested) == found.recordings.max() + 1
    for side in (found.before, found.after):
        assert not tested & set(map(recording_of, side.manifest["clip_id"].to_pylist()))
    # What is left out is not trained on; it is still tested on, as on the other side.
    assert set(found.before.manifest["source"].to_pylist()) == {"soundbible"}
    assert any(name.startswith("freesound") for name in found.test["clip_id"].to_pylist())
    assert found.references[0].name == whole.name


def test_projections_on_features_are_those_of_the_training_loop(tables: TableStore, tmp_path: Path) -> None:
    side = read_pool(parse_side("v1"), tables)
    found = compose(side, side, side, tables)
    settings = model_of(SETTINGS, 2).settings
    known = known_features(tables.read(["audio_embeddings", "aisfx"], None), settings)
    manifest = found.before.manifest
    options = RunOptions(features=known)
    result = train(manifest, AudioFiles(tables.store), settings, tmp_path, options)
    by_loop, _ = load_checkpoint(result.weights)
    ours = train_projections(
        clips_of(manifest, "train"), clips_of(manifest, "validation"), known, settings, {}
    )
    clips = clips_of(manifest, "validation")
    assert isinstance(by_loop, RetrievalModel)
    by_loop_ranks, our_ranks = [
        score_retrieval(*embed_features(model, clips, known, {}, 32)).text_to_audio.ranks
        for model in (by_loop, ours)
    ]
    assert np.array_equal(by_loop_ranks, our_ranks)


def test_each_source_is_compared_and_all_conclusions_are_corrected(
    tables: TableStore, tmp_path: Path
) -> None:
    found = asked(tables, tmp_path, "", "v1", seeds=2, each="source")
    names = [one.rows[0]["before"].partition(" ")[2] for one in found.shown]
    assert names == ["without source=freesound", "without source=soundbible"]
    deciding = [row for row in found.table.to_pylist() if row["decides"]]
    smallest = min(deciding, key=lambda row: row["p"])
    assert smallest["p_corrected"] == pytest.approx(min(6 * smallest["p"], 1))
    assert "All of them" in tables.store.read_bytes(found.page).decode()


def test_hostile_captions_are_text_on_the_page(tables: TableStore, tmp_path: Path) -> None:
    found = asked(tables, tmp_path, "v1", "v2", seeds=2)
    page = render(found.shown, "<b>title</b>")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<b>title" not in page


def test_sides_are_read_and_written() -> None:
    side = parse_side("v3 without source=freesound,soundbible without filter=too_short with captions=raw")
    assert side == Side("v3", (("source", ("freesound", "soundbible")), ("filter", ("too_short",))), "raw")
    assert parse_side(str(side)) == side
    for text in ("", "v1 foo", "v1 without colour=red", "v1 without source=", "with captions=raw", "v1 'x"):
        with pytest.raises(BadSide, match=r"write a version"):
            parse_side(text)


@pytest.mark.parametrize(
    ("before", "after", "error", "said"),
    [
        ("v9", "v1", StoreError, "no version 'v9'"),
        ("v1 without source=bbc", "v1", BadSide, "there are freesound, soundbible"),
        ("v1 without source=freesound,soundbible", "v1", NothingToCompare, "0 clips to train on"),
        ("v1 with captions=query", "v1", BadSide, "no captions of the kind 'query'"),
        ("v1 without filter=too_short", "v1", BadSide, "no clip was dropped for 'too_short'"),
    ],
)
def test_what_is_not_there_is_named(
    tables: TableStore, tmp_path: Path, before: str, after: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        asked(tables, tmp_path, before, after)


def test_one_seed_is_refused(tables: TableStore, tmp_path: Path) -> None:
    with pytest.raises(NothingToCompare, match="one seed says nothing of chance"):
        answer([Question("v1", "v3")], model_of(SETTINGS, 1), tables, Machine(tmp_path))


def test_a_version_whose_audio_is_gone_is_named(tables: TableStore, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    here = TableStore(store)
    for name in ("versions/wavcaps", "tables/wavcaps", "tables/recordings"):
        for file in tables.store.sizes(name):
            store.write_bytes(f"{name}/{file}", tables.store.read_bytes(f"{name}/{file}"))
    with pytest.raises(AudioReadError, match=r"v1-.*cannot be read.*left the store"):
        asked(here, tmp_path, "v1", "v3")


def test_both_sides_hear_the_same_of_a_clip_that_was_removed(tmp_path: Path) -> None:
    """Its audio was replaced in between. Features are those of a clip, and not of a clip in a version."""
    tables = TableStore(Store(tmp_path))
    first = [clip(number, SOUNDS[number % 8]) for number in range(CLIPS)]
    second = [*first[:-1], {**first[-1], "samples_sha256": "replaced"}]
    for rows in (first, second, first[:-1]):
        stage = Stage(MANIFEST.from_rows(rows), DROPPED.empty())
        publish_version(tables, stage, ["freesound", "soundbible"], "run", NOW)
    tables.write(["wavcaps"], None, MANIFEST.from_rows(first[:-1]))
    before, after = (read_pool(parse_side(side), tables) for side in ("v1", "v2"))
    found = compose(before, after, before, tables)
    assert found.before.sha256 == found.after.sha256 and not len(found.changes)
    assert any(note.startswith("The audio of 1 clips was replaced since") for note in found.notes)


def test_other_captions_of_test_clips_are_not_no_change(tables: TableStore, tmp_path: Path) -> None:
    """Nothing is trained then, and a reader must not think that no caption changed."""
    pool = read_pool(parse_side("v1"), tables)
    test = compose(pool, pool, pool, tables).test["clip_id"].to_pylist()
    own = TableStore(Store(tmp_path / "store"))
    first = [clip(number, SOUNDS[number % 8]) for number in range(CLIPS)]
    second = [{**row, "caption": "Another."} if row["clip_id"] in test[:3] else row for row in first]
    for rows in (first, second):
        stage = Stage(MANIFEST.from_rows(rows), DROPPED.empty())
        publish_version(own, stage, ["freesound", "soundbible"], "run", NOW)
    own.write(["wavcaps"], None, MANIFEST.from_rows(second))
    found = asked(own, tmp_path, "v1", "v2")
    assert found.shown[0].headline.startswith("No change")
    said = "3 test clips have another caption on the second side. They are not trained on"
    assert said in " ".join(found.shown[0].comparison.notes)
    assert said in own.store.read_bytes(found.page).decode()


def test_audio_that_comes_back_is_scored(tables: TableStore, tmp_path: Path) -> None:
    """A seed that was trained without a clip is no seed of the comparison that has it."""
    key = ["audio_embeddings", "aisfx"]
    embedded = tables.read(key, None)
    before, after = (read_pool(parse_side(side), tables) for side in ("v1", "v3"))
    gone = compose(before, after, before, tables).test["clip_id"][0]
    tables.write(key, None, embedded.filter(pc.not_equal(embedded["clip_id"], gone)))
    try:
        without = asked(tables, tmp_path, "v1", "v3", seeds=2).table.to_pylist()[0]
    finally:
        tables.write(key, None, embedded)
    found = asked(tables, tmp_path, "v1", "v3", seeds=3).table.to_pylist()[0]
    assert without["clips"] == found["clips"] - 1
    assert without["chance"] == pytest.approx(100 / without["clips"])
    assert found["chance"] == pytest.approx(100 / found["clips"])


def test_the_command_says_what_it_found(
    tables: TableStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_STORE", str(tables.store.root))
    monkeypatch.setenv("WAVCAPS_STATE", str(tmp_path))
    done = CliRunner().invoke(worth, ["v1", "v3", "--seeds", "2", "--set", "epochs=6"])
    assert done.exit_code == 0, done.output
    assert "R@10" in done.output
    assert "The page: " in done.output
    for arguments, said in (
        (["v9", "v1"], "no version 'v9'"),
        (["v1", "v3", "--set", "epoch=1"], "epoch"),
        (["v1", "v3", "--seeds", "1"], "--seeds"),
        (["v1", "v3", "--each", "source"], "one side at most"),
    ):
        wrong = CliRunner().invoke(worth, arguments)
        assert wrong.exit_code != 0
        assert said in wrong.output


def test_another_question_does_not_take_the_page_of_one_before(tables: TableStore, tmp_path: Path) -> None:
    first = asked(tables, tmp_path, "v1", "v3", seeds=2)
    answered = tables.store.read_bytes(first.page)
    by_others = asked(tables, tmp_path, "v1", "v3", seeds=2, references="after")
    request = Request("v1", "v3")
    shorter = what_is_it_worth(request, model_of({"epochs": 1}, 2), tables, Machine(tmp_path))
    assert len({first.page, by_others.page, shorter.page}) == 3
    assert tables.store.read_bytes(first.page) == answered
    # The model that was trained is named, and not the one that it was changed from.
    assert {row["model"] for row in shorter.table.to_pylist()} == {"aisfx_minilm/demo with epochs=1"}
    assert "aisfx_minilm/demo with epochs=1" in tables.store.read_bytes(shorter.page).decode()
    assert asked(tables, tmp_path, "v1", "v3", seeds=2).page == first.page
    assert model_of({}, 2).name == "aisfx_minilm/demo"


def test_a_loop_says_what_it_does_not_ask(tables: TableStore, tmp_path: Path) -> None:
    for request in (Request("v1", "v3", each="source"), Request(each="source", references="v1")):
        with pytest.raises(BadSide, match="leave out `before` and `references`"):
            what_is_it_worth(request, model_of(SETTINGS, 2), tables, Machine(tmp_path))
