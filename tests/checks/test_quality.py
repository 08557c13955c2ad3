"""The figures, held to cases worked by hand, and the checks in Dagster."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from tests.checks.manifests import good_rows
from tests.support.rows import manifest_row
from wavcaps_assets.checks.baseline import Baseline
from wavcaps_assets.checks.caption_set import COLUMNS, caption_set
from wavcaps_assets.checks.drift import drift, word_distance
from wavcaps_assets.checks.figures import WHOLE, Band, Figure, Limits, Result, Status
from wavcaps_assets.checks.measures import measure
from wavcaps_assets.checks.quality import check_quality, worst
from wavcaps_assets.checks.quality_settings import Ceiling, QualitySettings, Sample
from wavcaps_assets.checks.sampling import even_sample, wilson_interval
from wavcaps_assets.defs.quality import quality_checks
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import TableIOManager
from wavcaps_assets.rules.settings import RuleSettings
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import MANIFEST


def table_of(*captions: str, source: str = "soundbible") -> pa.Table:
    return pa.Table.from_pylist(
        [
            {"clip_id": f"{source}-{at}", "source": source, "caption": said, "text": said}
            for at, said in enumerate(captions)
        ],
        COLUMNS,
    )


def test_near_duplicates_have_the_same_words_in_any_order_and_inflection() -> None:
    captions = (
        "A dog is barking in the rain.",
        "Dogs bark in rain.",  # the same
        "In the rain, a dog barked.",  # the same
        "a dog is barking in the rain",  # not different at all, so counted as no duplicate but not unique
        "A dog is barking near the rain.",
        "A cat is meowing.",
    )
    figures = measure(caption_set(table_of(*captions)), QualitySettings())["soundbible"]
    assert figures["unique"].value == pytest.approx(5 / 6)
    assert figures["near_duplicates"].value == pytest.approx(2 / 5)
    assert figures["mean_words"].value == pytest.approx((7 + 4 + 6 + 7 + 7 + 4) / 6)


def test_wilson_interval_is_that_of_the_literature() -> None:
    # R. G. Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 and 0 of 20.
    assert wilson_interval(81, 263, 0.95) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(0, 20, 0.95) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_a_sample_is_even_repeatable_and_shared_by_parts() -> None:
    clips = [f"clip-{number}" for number in range(4_000)]
    drawn = even_sample(clips, 400, 0)
    assert drawn == even_sample(reversed(clips), 400, 0) != even_sample(clips, 400, 1)
    assert {clip for clip in drawn if clip in clips[:2_000]} <= even_sample(clips[:2_000], 400, 0)
    # Of 400 from two halves, 200 of each: within four standard deviations of the hypergeometric.
    assert abs(len(drawn & set(clips[:2_000])) - 200) < 40


def test_a_share_of_a_sample_fails_only_with_its_whole_interval() -> None:
    limits = Limits(Band(high=0.01), Band(high=0.05))
    unsure, sure = Figure(0.06, 0.04, 0.09, 100), Figure(0.06, 0.055, 0.066, 10_000)
    assert Result("c", "m", "s", unsure, limits).status is Status.WARNED
    assert Result("c", "m", "s", sure, limits).status is Status.FAILED


def test_the_parser_reads_a_sample_of_each_source_and_of_the_whole() -> None:
    tables = [
        table_of(*["A dog is barking."] * count, source=source) for source, count in (("a", 30), ("b", 8))
    ]
    figures = measure(caption_set(pa.concat_tables(tables)), QualitySettings(sample=Sample(size=10)))
    assert {scope: found["no_verb"].of for scope, found in figures.items()} == {WHOLE: 10, "a": 10, "b": 8}
    assert {scope: found["digits"].of for scope, found in figures.items()} == {WHOLE: 38, "a": 30, "b": 8}
    # Of eight captions without a fault no more can be said than that fewer than a third have one.
    assert figures["b"]["no_verb"].high == pytest.approx(wilson_interval(0, 8, 0.95)[1])
    assert not figures["b"]["digits"].is_estimate


def test_the_words_expected_of_the_papers_set_are_the_papers() -> None:
    counts = {"freesound": 2623, "bbc_sound_effects": 312, "soundbible": 12, "audioset_sl": 1083}
    tables = [table_of(*["A dog is barking."] * count, source=source) for source, count in counts.items()]
    settings = QualitySettings(sample=Sample(size=1))
    results = check_quality(caption_set(pa.concat_tables(tables)), settings)
    whole = next(one for one in results if (one.measure, one.scope) == ("mean_words", WHOLE))
    # Table III: 7.80 for the whole.
    assert (whole.limits.warn.low + whole.limits.warn.high) / 2 == pytest.approx(7.80, abs=0.005)
    assert whole.status is Status.WARNED


def test_word_distance_of_hand_computed_distributions() -> None:
    one = Counter(a=1, b=1)
    assert word_distance(one, Counter(a=5, b=5)) == 0
    assert word_distance(one, Counter(c=3)) == 1
    # Divergence of (1/2, 1/2) and (1, 0) from their middle (3/4, 1/4): 0.3113 bit.
    assert word_distance(one, Counter(a=2)) == pytest.approx(0.3113**0.5, abs=1e-4)


def test_drift_is_by_clip_whatever_the_order() -> None:
    before = table_of("One bell rings.", "Two bells ring.", "A dog barks.", "A cat meows.")
    now = table_of("One bell rings.", "A dog barks.", "Two bells ring.", "A cat purrs.").take([3, 1, 0, 2])
    found = drift(before, now)["soundbible"]
    assert (found["changed"].value, found["moved"].value) == (0.75, 0.5)
    assert found["mean_words"].value == found["unique"].value == 0


def test_the_baseline_is_what_passed_last_also_when_a_check_runs_again(store: Store) -> None:
    tables = [table_of(f"Bell {number} rings.") for number in range(3)]

    def said(version: str) -> list[str] | None:
        before = Baseline(store, ["captions"], "soundbible", version).before()
        return None if before is None else before.column("caption").to_pylist()

    assert said("first") is None
    Baseline(store, ["captions"], "soundbible", "first").keep(tables[0])
    assert said("first") is None
    assert said("second") == ["Bell 0 rings."]
    Baseline(store, ["captions"], "soundbible", "second").keep(tables[1])
    assert said("second") == ["Bell 0 rings."]
    assert said("third") == ["Bell 1 rings."]


def materialize(folder: Path, rows: list[dict[str, Any]], instance: dg.DagsterInstance) -> dict[str, Any]:
    parts = dg.StaticPartitionsDefinition(["soundbible"])

    @dg.asset(partitions_def=parts)
    def manifest() -> pa.Table:
        return MANIFEST.from_rows(manifest_row(**row) for row in rows)

    @dg.asset(partitions_def=parts, deps=[manifest])
    def downstream() -> None:
        pass

    store = StoreResource(root=str(folder))
    result = dg.materialize(
        [manifest, downstream, quality_checks("manifest", parts, "")],
        partition_key="soundbible",
        instance=instance,
        resources={"store": store, "io_manager": TableIOManager(store=store)},
        raise_on_error=False,
    )
    made = {
        event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key
    }
    checks = {one.check_name: one for one in result.get_asset_check_evaluations()}
    return {"made": made, "checks": checks}


@pytest.mark.slow
def test_in_dagster_a_bad_set_blocks_what_is_downstream_and_a_warning_does_not(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        good = good_rows(40)
        first = materialize(tmp_path, good, instance)
        assert "downstream" in first["made"]
        # Some two words more than SoundBible's: a warning, and no more.
        assert {name for name, check in first["checks"].items() if not check.passed} == {"mean_words"}
        assert first["checks"]["mean_words"].severity is dg.AssetCheckSeverity.WARN
        assert "nothing to compare with" in first["checks"]["drift"].description

        other = [row | {"caption": f"{row['caption'][:-1]} all the time."} for row in good]
        changed = materialize(tmp_path, other, instance)
        assert "downstream" in changed["made"]
        assert (changed["checks"]["drift"].passed, changed["checks"]["drift"].severity.value) == (
            False,
            "WARN",
        )

        bad = [row | {"caption": "A dog is heard in a forest."} for row in good]
        failed = materialize(tmp_path, bad, instance)
        assert "downstream" not in failed["made"]
        check = failed["checks"]["banned_words"]
        assert (check.passed, check.severity.value) == (False, "ERROR")
        assert "heard" in str(check.metadata["worst examples"].value)


def test_words_of_time_are_compared_with_the_events_of_the_clips_that_have_some() -> None:
    events = [
        {"onset_s": 0.0, "offset_s": 2.0, "label": "Bark"},
        {"onset_s": 3.0, "offset_s": 5.0, "label": "Cough"},
    ]
    captions = {
        "a": ("A dog barks, then someone coughs.", events),
        "b": ("Someone coughs, then a dog barks.", events),
        "c": ("Someone coughs, then a dog barks.", []),
        "d": ("Someone coughs, then a dog barks.", None),
    }
    table = pa.table(
        [
            pa.array(column, COLUMNS.field(name).type)
            for name, column in {
                "clip_id": list(captions),
                "source": ["audioset_sl"] * 4,
                "caption": [caption for caption, _ in captions.values()],
                "text": [None] * 4,
                "prompt_version": [None] * 4,
                "events": [found for _, found in captions.values()],
            }.items()
        ],
        schema=COLUMNS,
    )
    rules = RuleSettings(enabled=("event_order",))
    settings = QualitySettings(rules=rules)
    (result,) = (one for one in check_quality(caption_set(table), settings) if one.check == "event_order")
    assert result.figure is not None
    assert (result.figure.value, result.figure.of, result.status) == (0.5, 2, Status.WARNED)
    assert [example.clip_id for example in result.figure.examples] == ["b"]
    strict = settings.model_copy(update={"event_order": Ceiling(error=0.0)})
    assert worst(check_quality(caption_set(table), strict)) is Status.FAILED
    (unknown,) = (
        one
        for one in check_quality(caption_set(table.drop_columns(["events"])), settings)
        if one.check == "event_order"
    )
    assert (unknown.status, unknown.note) == (Status.SKIPPED, "no clip has labelled sound events")
