"""Clips that are alike by their embeddings: as all similarities at once would say, in pieces."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from wavcaps_assets.tables import BENCHMARK_CLIPS
from wavcaps_training.evaluation import near_duplicates as module
from wavcaps_training.evaluation.near_duplicates import Matrix, SimilaritySettings, near_duplicates

RNG = np.random.default_rng(0)


def table_of(prefix: str, matrix: Matrix) -> pa.Table:
    ids = pa.array([f"{prefix}-{number}" for number in range(len(matrix))], pa.string())
    return pa.table({"clip_id": ids, "embedding": pa.array(list(matrix), pa.list_(pa.float32()))})


def benchmark_of(ids: pa.ChunkedArray) -> pa.Table:
    columns = {field.name: pa.nulls(len(ids), field.type) for field in BENCHMARK_CLIPS.arrow}
    return pa.table(
        {**columns, "clip_id": ids, "benchmark": ["esc50"] * len(ids), "split": ["test"] * len(ids)}
    )


def test_the_pairs_are_those_of_the_whole_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SET_CLIPS", 7)
    monkeypatch.setattr(module, "BENCHMARK_CLIPS", 5)
    of_set = RNG.normal(3, 2, (60, 8)).astype(np.float32)
    theirs = np.concatenate([of_set[:4] + RNG.normal(0, 0.2, (4, 8)), RNG.normal(3, 2, (19, 8))])
    ours, other = table_of("bbc", of_set), table_of("esc50", theirs.astype(np.float32))
    clips = pa.table({"clip_id": ours["clip_id"][:50], "source": ["bbc"] * 50})
    settings = SimilaritySettings(least_similarity=0.2, most_pairs=3)
    batches = [ours.slice(0, 20), ours.slice(20, 40)]
    found = near_duplicates(lambda: batches, clips, benchmark_of(other["clip_id"]), other, settings)

    mean, deviation = of_set[:50].mean(axis=0), of_set[:50].std(axis=0)
    one, two = ((matrix - mean) / deviation for matrix in (of_set[:50], theirs))
    cosine = one @ two.T / np.linalg.norm(one, axis=1)[:, None] / np.linalg.norm(two, axis=1)[None]
    expected = {
        (f"bbc-{own}", f"esc50-{place}"): cosine[own, place]
        for place in range(len(theirs))
        for own in np.argsort(-cosine[:, place])[:3]
        if cosine[own, place] >= 0.2
    }
    assert len(expected) > 30
    rows = found.to_pylist()
    assert {(row["clip_id"], row["benchmark_clip_id"]) for row in rows} == expected.keys()
    for row in rows:
        assert row["score"] == pytest.approx(expected[row["clip_id"], row["benchmark_clip_id"]], abs=1e-3)
    given = {(row["source"], row["evidence"], row["verdict"]) for row in rows}
    assert given == {("bbc", "embedding", "review")}
    assert {row["clip_id"] for row in rows[:4]} == {f"bbc-{number}" for number in range(4)}


@pytest.mark.parametrize(("ours", "theirs"), [(0, 3), (3, 0), (0, 0)])
def test_of_nothing_nothing_is_found(ours: int, theirs: int) -> None:
    of_set, other = (np.ones((number, 4), np.float32) for number in (ours, theirs))
    table, embeddings = table_of("bbc", of_set), table_of("esc50", other)
    clips = pa.table({"clip_id": table["clip_id"], "source": pa.array(["bbc"] * ours, pa.string())})
    benchmark = benchmark_of(embeddings["clip_id"])
    assert not len(near_duplicates(lambda: [table], clips, benchmark, embeddings, SimilaritySettings()))
