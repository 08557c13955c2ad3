"""The index: exact, of one checkpoint, of what is published now, and computed again only where it changed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch
from click.testing import CliRunner

from tests.training.search.small_index import (
    CAPTIONS,
    CHECKPOINT_KEY,
    INDEX_KEY,
    NAME,
    RATE,
    SmallSet,
    model,
    settings,
    small_set,
    tone,
)
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import MANIFEST, TRAINING_MANIFEST
from wavcaps_assets.tables.asset_tables import set_version_of
from wavcaps_training.data import AudioFiles, Clip
from wavcaps_training.evaluation.encoder import QueryError
from wavcaps_training.evaluation.retrieval import embed
from wavcaps_training.search.command import search
from wavcaps_training.search.currency import what_is_stale
from wavcaps_training.search.index import NoIndex, StaleIndex
from wavcaps_training.search.indexing import matrix_of
from wavcaps_training.search.opening import open_index
from wavcaps_training.search.query_scores import score_short_queries
from wavcaps_training.search.vectors import nearest
from wavcaps_training.tables import SEARCH_INDEX


@pytest.fixture
def small(tmp_path: Path) -> SmallSet:
    return small_set(Store(tmp_path / "store"), tmp_path / "state")


def test_nearest_is_what_sorting_all_products_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavcaps_training.search.vectors.ROWS_A_BLOCK", 7)
    generator = np.random.default_rng(3)
    vectors = generator.normal(size=(60, 5)).astype(np.float32)
    vectors[41] = vectors[11]  # a tie, in another block
    allowed = generator.random(60) < 0.7
    allowed[[11, 41]] = True
    for query in (vectors[11], *generator.normal(size=(20, 5)).astype(np.float32)):
        rows, scores = nearest(vectors, query, 9, allowed)
        products = np.where(allowed, vectors @ query, -np.inf)
        expected = np.lexsort((np.arange(60), -products))[:9]
        assert rows.tolist() == expected.tolist()
        np.testing.assert_allclose(scores, products[expected], rtol=1e-6)
    assert len(nearest(vectors, vectors[0], 100, allowed)[0]) == allowed.sum()


def test_vectors_are_those_that_scores_are_made_with(small: SmallSet) -> None:
    index = small.tables.read(INDEX_KEY, ["all"])
    clips = [
        Clip(f"freesound-{number}", (caption,), f"audio/freesound/freesound-{number}.flac", 2.0)
        for number, caption in enumerate(CAPTIONS)
    ]
    sounds, texts, _ = embed(model(1), clips, AudioFiles(small.store), settings())
    np.testing.assert_allclose(matrix_of(index["audio_embedding"], 8), sounds, atol=1e-5)
    np.testing.assert_allclose(matrix_of(index["caption_embedding"], 8), texts, atol=1e-5)
    assert set_version_of(index) == "v1-00000000"
    opened = small.open()
    with torch.no_grad():
        query = model(1).embed_text(["a dog barks"])[0].numpy()
    hits = opened.by_text("a  dog barks ", 5)
    assert [hit.clip["clip_id"] for hit in hits] == [
        f"freesound-{row}" for row in np.argsort(-(sounds @ query))
    ]
    # Each caption once, with the number of clips that have it.
    captions = opened.captions_of_clip("freesound-3", 9)
    assert len(captions) == len(set(CAPTIONS))
    (own,) = [hit for hit in captions if hit.own]
    assert own.clip["caption"] == "A dog barks." and own.same_caption == 2


def test_only_what_changed_is_computed_again(small: SmallSet, monkeypatch: pytest.MonkeyPatch) -> None:
    before = small.tables.read(INDEX_KEY, ["all"])
    heard: list[str] = []
    opening = AudioFiles.opening

    def counted(self: AudioFiles, clip: Clip) -> AbstractContextManager[Path | BinaryIO]:
        heard.append(clip.clip_id)
        return opening(self, clip)

    monkeypatch.setattr(AudioFiles, "opening", counted)
    small.publish((*CAPTIONS[:4], "Church bells ring.", "A new clip."), "v2-00000000")
    opened = small.open()
    # Not yet indexed: the new clip is missing, and the old caption is not found any more.
    assert (opened.freshness.missing, opened.freshness.recaptioned) == (1, 1)
    assert "Church bells ring." not in [
        hit.clip["caption"] for hit in opened.captions_of_clip("freesound-4", 9)
    ]
    assert len(what_is_stale(small.tables, NAME)) == 2
    small.index()
    assert heard == ["freesound-5"]
    after = small.tables.read(INDEX_KEY, ["all"])
    assert after["audio_embedding"][:5].equals(before["audio_embedding"])
    assert after["caption_embedding"][4] != before["caption_embedding"][4]
    assert what_is_stale(small.tables, NAME) == []
    assert not small.open().freshness.notes("x")
    # A clip that was removed is not found, also while the index still has it.
    small.publish(CAPTIONS[:2], "v3-00000000")
    assert [hit.clip["clip_id"] for hit in small.open().by_text("dog", 9)] in (
        ["freesound-0", "freesound-1"],
        ["freesound-1", "freesound-0"],
    )


def test_vectors_of_two_checkpoints_are_never_mixed(small: SmallSet) -> None:
    small.train(2)
    with pytest.raises(
        StaleIndex, match=r"other weights.*materialize search_index/htsat_bert/own_split again"
    ):
        small.open()
    assert "other weights" in what_is_stale(small.tables, NAME)[0]
    before = small.tables.read(INDEX_KEY, ["all"])
    small.index()
    after = small.tables.read(INDEX_KEY, ["all"])
    assert len(set(after["embedding_version"].to_pylist())) == 1
    assert not np.allclose(matrix_of(after["audio_embedding"], 8), matrix_of(before["audio_embedding"], 8))
    small.open().by_text("dog", 1)
    # Files of the earlier vectors do not pile up.
    assert len(list((small.settings.state / "search" / NAME).iterdir())) == 1
    mixed = SEARCH_INDEX.check(after.slice(0, 2)), SEARCH_INDEX.check(before.slice(2))
    small.tables.write(INDEX_KEY, None, pa.concat_tables(mixed))
    with pytest.raises(StaleIndex):
        small.open()


def test_queries_are_not_scored_on_the_sound_that_a_clip_had(
    small: SmallSet, caplog: pytest.LogCaptureFixture
) -> None:
    index, published = (small.tables.read(key, ["all"]) for key in (INDEX_KEY, ["wavcaps"]))
    names = published["clip_id"].to_pylist()
    about = {"source": "freesound", "other_captions": [], "audio_path": "", "duration_s": 2.0}
    manifest = TRAINING_MANIFEST.from_rows(
        {**about, "clip_id": name, "caption": caption, "recording": name, "split": "test"}
        for name, caption in zip(names, CAPTIONS, strict=True)
    )
    weights = small.store.root / small.tables.read(CHECKPOINT_KEY, ["all"])["weights_path"][0].as_py()
    scores = score_short_queries(NAME, index, published, manifest, weights)
    assert set(scores["clips"].to_pylist()) == {5} and set_version_of(scores) == "v1-00000000"
    assert not caplog.messages
    # The audio of one clip was replaced since the index was made.
    rows = published.to_pylist()
    rows[1] |= {"samples_sha256": "other"}
    scores = score_short_queries(NAME, index, MANIFEST.from_rows(rows), manifest, weights)
    assert set(scores["clips"].to_pylist()) == {4}
    assert "1 of 5 clips of the test split are not in search_index/htsat_bert/own_split" in caplog.text


def test_what_cannot_be_searched_is_a_clear_error(small: SmallSet) -> None:
    opened = small.open()
    for query, message in (("  ", "the query is empty"), ("x" * 501, "501 characters")):
        with pytest.raises(QueryError, match=message):
            opened.by_text(query, 3)
    for clip_id in ("", "freesound-99", "../../etc/passwd", "<script>"):
        with pytest.raises(QueryError, match="no clip"):
            opened.captions_of_clip(clip_id, 3)
    # Not the checkpoint in the report, and the only one that has an index.
    assert open_index(small.tables, small.settings).name == NAME
    small.tables.write([*INDEX_KEY[:2], "zero_shot"], None, SEARCH_INDEX.empty())
    with pytest.raises(NoIndex, match=f"choose one by --checkpoint, of {NAME}, htsat_bert/zero_shot"):
        open_index(small.tables, small.settings)
    small.store.remove("tables/search_index")
    with pytest.raises(NoIndex, match="materialize search_index/htsat_bert/own_split"):
        small.open()


@pytest.mark.slow
def test_the_command_prints_clips_and_captions(
    small: SmallSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("WAVCAPS_STATE", str(tmp_path / "state"))

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(search, arguments)
        assert result.exit_code in (0, 1, 2), result.exception
        return result.output

    found = run("dog", "barking", "-k", "2")
    assert found.count("freesound, CC0-1.0: ") == 2
    assert str(tmp_path / "store/audio/freesound/freesound-") in found
    soundfile.write(tmp_path / "mine.wav", tone(200, 3.0), RATE)
    of_clip, of_file = run("--like", "freesound-0"), run("--like", str(tmp_path / "mine.wav"))
    assert "its own caption" in of_clip and "and 1 other clips" in of_file
    (tmp_path / "no.wav").write_bytes(b"RIFF, but no sound")
    assert "the sound cannot be read" in run("--like", str(tmp_path / "no.wav"))
    assert "there is no file of this name" in run("--like", "freesound-99")
    assert "give a text, or --like, or --page" in run("--page", "dog")
    assert "there is no checkpoint" in run("dog", "--checkpoint", "cnn14_bert/demo")
    assert "cannot be a path in the store" in run("dog", "--checkpoint", "../../x")
