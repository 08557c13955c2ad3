"""Stage 1, on hand-made cases of section III.B and on the BBC's real listing."""

from __future__ import annotations

import csv
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from pydantic import ValidationError

from tests.support.paths import DATA, SHARED
from tests.support.rows import audio_row, raw_row
from wavcaps_assets.audio.normalise import normalise
from wavcaps_assets.checks.tables import check_nothing_lost
from wavcaps_assets.filtering import DescriptionForm, FilterSettings, filter_clips
from wavcaps_assets.filtering.funnel import as_plot, as_table, funnel_of, paper_funnels
from wavcaps_assets.filtering.inputs import read_inputs
from wavcaps_assets.sources.base import clean
from wavcaps_assets.store.schema import SchemaError
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import AUDIO, DROPPED, FILTERED_CLIPS, RAW_CLIPS
from wavcaps_assets.tables.asset_tables import OtherVersion, TableStore
from wavcaps_assets.tables.stage import Stage, drop

BBC = DATA / "bbc" / "BBCSoundEffects.csv"
PAPER = SHARED / "paper.md"
HOSTILE = {
    "right to left": "صوت المطر \u202e gnikrab",
    "emoji": "👩‍👩‍👧 🐕" * 3,
    "control": "rain\x07\x1b[31m on a roof\r\n\t",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "null": "rain\0fall",
    "sql": "'; drop table raw; -- \" {} %s $max_clips",
    "huge": "rain " * 40_000,
}


def clip(clip_id: str, source: str = "freesound", **changes: Any) -> dict[str, Any]:
    return raw_row(clip_id, source, **{"claimed_duration_s": 2.0, **changes})


def audio(rows: list[dict[str, Any]], dropped: list[dict[str, Any]] | None = None) -> Stage:
    return Stage(AUDIO.from_rows(rows), DROPPED.from_rows(dropped or []))


def raw(*rows: dict[str, Any]) -> pa.Table:
    return RAW_CLIPS.from_rows(rows)


def reasons(stage: Stage) -> dict[str, str]:
    return {row["clip_id"]: row["reason"] for row in stage.dropped.to_pylist()}


def details(stage: Stage) -> dict[str, str]:
    return {row["clip_id"]: row["detail"] for row in stage.dropped.to_pylist()}


def kept(stage: Stage) -> list[str]:
    return [str(clip_id) for clip_id in stage.kept.column("clip_id").to_pylist()]


def test_exactly_one_second_is_long_enough() -> None:
    # The released set's shortest clip is exactly 1 s long.
    least = math.nextafter(1.0, 0)
    measured = audio([audio_row("a", duration_s=1.0), audio_row("b", duration_s=least)])
    stage = filter_clips(raw(clip("a"), clip("b")), measured, FilterSettings())
    assert kept(stage) == ["a"]
    assert reasons(stage) == {"b": "too_short"}
    assert details(stage)["b"] == "0.9999999999999999 s measured, minimum 1.0 s"


def test_the_measured_duration_counts_where_there_is_one() -> None:
    clips = raw(clip("a", claimed_duration_s=30.0), clip("b", claimed_duration_s=0.5), clip("c"))
    stage = filter_clips(clips, audio([audio_row("a", duration_s=0.2)]), FilterSettings())
    assert reasons(stage) == {"a": "too_short", "b": "too_short"}
    assert [text.split(",")[0] for text in details(stage).values()] == ["0.2 s measured", "0.5 s claimed"]
    assert stage.kept.to_pylist()[0]["duration_s"] == 2.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("duration", "reason", "detail"),
    [
        (-3.0, "bad_duration", "-3.0 s claimed"),
        (math.nan, "bad_duration", "nan s claimed"),
        (math.inf, "bad_duration", "inf s claimed"),
        (-math.inf, "bad_duration", "-inf s claimed"),
        (None, "no_duration", "neither measured nor claimed"),
        (0.0, "too_short", "0.0 s claimed, minimum 1.0 s"),
    ],
)
def test_a_duration_that_is_none_is_named(duration: float | None, reason: str, detail: str) -> None:
    stage = filter_clips(raw(clip("a", claimed_duration_s=duration)), audio([]), FilterSettings())
    assert (reasons(stage), details(stage)) == ({"a": reason}, {"a": detail})
    # What was measured stands, whatever was claimed.
    clips = raw(clip("a", claimed_duration_s=duration))
    assert kept(filter_clips(clips, audio([audio_row("a")]), FilterSettings())) == ["a"]
    settings = FilterSettings(min_duration_s=0)
    assert reasons(filter_clips(clips, audio([]), settings)) == ({} if duration == 0 else {"a": reason})


def test_a_description_may_be_shared_by_five_clips_and_not_by_six() -> None:
    five = [clip(f"five{i}", description="rain") for i in range(5)]
    six = [clip(f"six{i}", description="http://my.site") for i in range(6)]
    stage = filter_clips(raw(*five, *six), audio([]), FilterSettings())
    assert reasons(stage) == dict.fromkeys((f"six{i}" for i in range(6)), "frequent_description")
    assert details(stage)["six0"] == "6 clips share it, maximum 5"


def test_a_short_clip_counts_among_those_that_share_a_description() -> None:
    clips = raw(*(clip(f"a{i}", description="kick", claimed_duration_s=0.1 + i) for i in range(6)))
    stage = filter_clips(clips, audio([]), FilterSettings())
    assert Counter(reasons(stage).values()) == {"too_short": 1, "frequent_description": 5}


@pytest.mark.parametrize("form", DescriptionForm)
@pytest.mark.parametrize("nothing", [None, "", " \n\t", "\u200b\u00a0", "\0"])
def test_no_description_is_none_that_is_shared(form: DescriptionForm, nothing: str | None) -> None:
    clips = raw(*(clip(f"a{i}", description=nothing) for i in range(9)))
    assert len(kept(filter_clips(clips, audio([]), FilterSettings(description_form=form)))) == 9


@pytest.mark.parametrize(
    ("form", "one"),
    [
        (DescriptionForm.EXACT, ["Rain."]),
        (DescriptionForm.SPACES, ["Rain.", " Rain.\n"]),
        (DescriptionForm.SPACES_AND_CASE, ["Rain.", " Rain.\n", "RAIN."]),
        (DescriptionForm.WORDS, ["Rain.", " Rain.\n", "RAIN.", "rain!"]),
    ],
)
def test_the_form_says_which_descriptions_are_one(form: DescriptionForm, one: list[str]) -> None:
    texts = ["Rain.", " Rain.\n", "RAIN.", "rain!", "Rain, 2"]
    rows = [clip(f"{place}-{i}", description=text) for place, text in enumerate(texts) for i in range(2)]
    settings = FilterSettings(description_form=form, max_clips_per_description=1)
    stage = filter_clips(raw(*rows), audio([]), settings)
    # Two of each share even the exact text; what is counted is how many more join them.
    sharing = {int(text.split()[0]) for clip_id, text in details(stage).items() if clip_id.startswith("0")}
    assert sharing == {2 * len(one)}


def test_texts_of_signs_only_are_counted_by_their_signs() -> None:
    settings = FilterSettings(description_form=DescriptionForm.WORDS, max_clips_per_description=1)
    rows = [clip("a", description="!!!"), clip("b", description="!!!"), clip("c", description="???")]
    assert kept(filter_clips(raw(*rows), audio([]), settings)) == ["c"]


def test_only_freesounds_descriptions_are_counted_and_each_source_by_itself() -> None:
    bbc = [clip(f"b{i}", source="bbc_sound_effects", description="Door") for i in range(20)]
    ours = [clip(f"f{i}", description="Door") for i in range(5)]
    assert filter_clips(raw(*bbc, *ours), audio([]), FilterSettings()).dropped.num_rows == 0


def test_a_clip_whose_audio_was_set_aside_keeps_that_reason() -> None:
    clips = raw(clip("a", claimed_duration_s=math.nan), clip("b"))
    gone = drop("a", "freesound", "audio", "audio_gone", "404")
    stage = filter_clips(clips, audio([audio_row("b")], [gone]), FilterSettings())
    (row,) = stage.dropped.to_pylist()
    assert row == drop("a", "freesound", "filtered_clips", "audio_gone", "404")
    assert check_nothing_lost(clips, stage).passed


@pytest.mark.slow
@pytest.mark.parametrize("form", DescriptionForm)
def test_hostile_texts_pass_through_and_are_counted_apart(form: DescriptionForm) -> None:
    rows = [clip(f"{name}-{i}", description=text) for name, text in HOSTILE.items() for i in range(3)]
    # These differ from one of them in one place only, and share with none.
    rows += [clip("null-other", description="rain\0fell"), clip("huge-other", description="rain " * 39_999)]
    settings = FilterSettings(description_form=form, max_clips_per_description=3)
    stage = filter_clips(raw(*rows), audio([]), settings)
    assert reasons(stage) == {}
    texts = {row["clip_id"]: row["description"] for row in stage.kept.to_pylist()}
    assert texts == {row["clip_id"]: row["description"] for row in rows}
    stricter = settings.model_copy(update={"max_clips_per_description": 2})
    stage = filter_clips(raw(*rows), audio([]), stricter)
    assert kept(stage) == ["null-other", "huge-other"]


def test_a_clip_with_two_rows_of_audio_is_an_error_and_not_two_clips() -> None:
    twice = Stage(
        pa.concat_tables([audio([audio_row("a")]).kept, audio([audio_row("a", duration_s=0.5)]).kept]),
        DROPPED.empty(),
    )
    with pytest.raises(SchemaError, match="two rows in a table of the audio"):
        filter_clips(raw(clip("a"), clip("b")), twice, FilterSettings())


def test_half_a_surrogate_never_gets_here() -> None:
    # Arrow's texts are UTF-8, which has none; a crawl replaces it before it makes a table.
    with pytest.raises(SchemaError, match=r"'description' requires string.*surrogates not allowed"):
        raw(clip("a", description="rain \ud800"))
    assert clean("rain \ud800") == "rain ?"


@pytest.mark.parametrize(
    ("sound", "is_silent"),
    [
        (np.zeros((32_000, 1)), True),
        # Dither: three steps of 16 bits.
        (np.tile([[3.0], [-3.0]], (16_000, 1)) / 32_768, True),
        (np.full((32_000, 1), 1e-7), True),
        # The two channels cancel each other in the mix to mono.
        (np.sin(np.arange(32_000) / 9)[:, None] * [0.5, -0.5], True),
        (np.sin(np.arange(32_000) / 9)[:, None] * 4 / 32_768, False),
        # One short sound in a long silence.
        (np.eye(32_000, 1) / 100, False),
    ],
    ids=["zeros", "dither", "below a step of 16 bits", "opposite channels", "quiet", "a click"],
)
def test_silence_is_measured_and_dropped_unless_it_may_stay(
    tmp_path: Path, sound: np.ndarray, is_silent: bool
) -> None:
    soundfile.write(tmp_path / "a.wav", sound, 32_000, subtype="FLOAT")
    facts = normalise(tmp_path / "a.wav", tmp_path / "a.flac")
    measured = audio([audio_row("a", peak_dbfs=facts.peak_dbfs, duration_s=facts.duration_s)])
    stage = filter_clips(raw(clip("a")), measured, FilterSettings())
    assert reasons(stage) == ({"a": "silent"} if is_silent else {})
    assert kept(filter_clips(raw(clip("a")), measured, FilterSettings(min_peak_dbfs=None))) == ["a"]


def test_silence_does_not_change_the_counts_of_the_papers_rules() -> None:
    rows = [clip(f"six{i}", description="Door") for i in range(6)] + [clip("quiet"), clip("short")]
    sounds = [audio_row(row["clip_id"], peak_dbfs=-math.inf) for row in rows]
    sounds[-1]["duration_s"] = 0.5
    for least in (None, -80.0):
        stage = filter_clips(raw(*rows), audio(sounds), FilterSettings(min_peak_dbfs=least))
        counted = Counter(reasons(stage).values())
        assert (counted["frequent_description"], counted["too_short"]) == (6, 1)
        assert counted["silent"] == (1 if least is not None else 0)
    assert details(stage)["quiet"] == "-inf dBFS, minimum -80.0 dBFS"


def test_rules_on_signals_take_what_is_beyond_their_thresholds() -> None:
    names = ("silence_share", "clipped_share", "bandwidth_hz")
    measures = {"even": (0.5, 0.1, 4000.0), "silent": (0.51, 0.1, 4000.0)}
    measures |= {"loud": (0.5, 0.11, 4000.0), "dull": (0.5, 0.1, 3999.0)}
    changed: dict[str, dict[str, Any]] = {
        clip_id: dict(zip(names, values, strict=True)) for clip_id, values in measures.items()
    }
    rows = [audio_row(clip_id, **values) for clip_id, values in changed.items()]
    clips = raw(*map(clip, (*measures, "unheard")))
    settings = FilterSettings(max_silence_share=0.5, max_clipped_share=0.1, min_bandwidth_hz=4000)
    stage = filter_clips(clips, audio(rows), settings)
    assert reasons(stage) == {"silent": "mostly_silent", "loud": "clipped", "dull": "narrow_band"}
    assert details(stage) == {
        "silent": "0.51 of the frames are silent, maximum 0.5",
        "loud": "0.11 of the samples are clipped, maximum 0.1",
        "dull": "3999.0 Hz, minimum 4000.0 Hz",
    }
    assert kept(stage) == ["even", "unheard"]
    assert filter_clips(clips, audio(rows), FilterSettings()).dropped.num_rows == 0


def test_only_allowed_licences_are_kept() -> None:
    clips = raw(clip("a"), clip("b", licence_class="BY-NC"), clip("c", licence_class="unknown"))
    stage = filter_clips(clips, audio([]), FilterSettings(licence_classes=["CC0", "BY"]))
    assert details(stage) == {"b": "BY-NC, allowed: CC0, BY", "c": "unknown, allowed: CC0, BY"}
    assert set(reasons(stage).values()) == {"licence_not_allowed"}
    with pytest.raises(ValidationError, match=r"no licence class 'CCO'; there are .*CC0"):
        FilterSettings(licence_classes=["CCO"])


def test_texts_in_other_languages_are_dropped_where_asked() -> None:
    german = "Ein Hund bellt laut im Garten, während der Regen auf das Dach fällt."
    rows = [
        clip("a", description="A dog barks loudly in the garden while rain falls on the roof."),
        clip("b", description=german),
        clip("c", description=" ", title=german),
        clip("d", description=None),
        clip("e", description="雨の音がします"),
    ]
    stage = filter_clips(raw(*rows), audio([]), FilterSettings(english_only=True))
    assert details(stage) == {"b": "language de", "c": "language de", "e": "language another script"}
    assert set(reasons(stage).values()) == {"not_english"}


def test_of_the_same_samples_the_first_that_passes_is_kept() -> None:
    rows = [audio_row(name, samples_sha256="same") for name in ("a", "b", "c", "d")]
    rows += [audio_row("e"), audio_row("f")]
    # The first by name is no candidate: another rule takes it.
    clips = [clip("a", licence_class="BY-NC"), *map(clip, ("d", "c", "b", "e", "f", "g"))]
    settings = FilterSettings(drop_exact_duplicates=True, licence_classes=["CC0"])
    for order in (clips, clips[::-1]):
        stage = filter_clips(raw(*order), audio(rows), settings)
        assert sorted(kept(stage)) == ["b", "e", "f", "g"]
        assert reasons(stage) == {"a": "licence_not_allowed", "c": "exact_duplicate", "d": "exact_duplicate"}
        assert details(stage)["d"] == "same samples as b, which is kept"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_every_clip_is_kept_or_dropped_once_whatever_comes_in(seed: int) -> None:
    rng = np.random.default_rng(seed)
    durations = [None, math.nan, math.inf, -1.0, 0.0, 0.999, 1.0, 5.0]
    texts = [
        None,
        "",
        " ",
        *(HOSTILE[name] for name in HOSTILE if name != "huge"),
        "rain",
        "Rain",
        "rain.",
        "Der Hund bellt im Garten sehr laut",
    ]

    def pick(values: list[Any]) -> Any:
        return values[int(rng.integers(len(values)))]

    rows, sounds, gone = [], [], []
    for number in range(120):
        source = pick(["freesound", "soundbible"])
        name = f"{source}-{number}"
        row = clip(name, source, claimed_duration_s=pick(durations), description=pick(texts))
        rows.append({**row, "licence_class": pick(["CC0", "BY"])})
        match pick(["stored", "stored", "gone", "waiting"]):
            case "stored":
                sha, silence = pick(["x", "y", name]), float(rng.random())
                sounds.append(audio_row(name, source, samples_sha256=sha, silence_share=silence))
            case "gone":
                gone.append(drop(name, source, "audio", "audio_gone"))
    settings = FilterSettings(
        max_silence_share=0.8,
        licence_classes=["CC0"],
        english_only=True,
        drop_exact_duplicates=True,
        description_form=pick(list(DescriptionForm)),
    )
    for chosen in (FilterSettings(), settings):
        stage = filter_clips(raw(*rows), audio(sounds, gone), chosen)
        assert check_nothing_lost(raw(*rows), stage).passed
        assert FILTERED_CLIPS.check(stage.kept).num_rows + DROPPED.check(stage.dropped).num_rows == len(rows)
        rng.shuffle(rows)
        again = filter_clips(raw(*rows), audio(sounds, gone), chosen)
        assert again.kept.sort_by("clip_id").equals(stage.kept.sort_by("clip_id"))
        assert again.dropped.sort_by("clip_id").equals(stage.dropped.sort_by("clip_id"))
        # Each table is in the order of the clips that came in.
        for table in (again.kept, again.dropped):
            mine = set(table["clip_id"].to_pylist())
            assert table["clip_id"].to_pylist() == [row["clip_id"] for row in rows if row["clip_id"] in mine]
        funnel = funnel_of(stage, chosen)
        assert (funnel.clips_in, funnel.kept) == (len(rows), stage.kept.num_rows)


def test_no_clips_are_no_trouble() -> None:
    stage = filter_clips(raw(), audio([]), FilterSettings(drop_exact_duplicates=True))
    assert (stage.kept.num_rows, stage.dropped.num_rows) == (0, 0)
    funnel = funnel_of(stage, FilterSettings())
    assert "| **kept** | 0 | |" in as_table(funnel, None).replace("|  |", "| |")
    assert as_plot(funnel, None).axes


def test_the_funnel_shows_each_rule_that_is_on_beside_the_papers_figures() -> None:
    rows = [clip("a"), clip("b", claimed_duration_s=0.5), clip("c"), clip("d")]
    gone = drop("c", "freesound", "audio", "audio_gone", "404")
    stage = filter_clips(raw(*rows), audio([], [gone]), FilterSettings())
    funnel = funnel_of(stage, FilterSettings())
    assert funnel.removed == {
        "audio_gone": 1,
        "no_duration": 0,
        "bad_duration": 0,
        "too_short": 1,
        "frequent_description": 0,
        "silent": 0,
    }
    assert funnel.kept == 2
    shown = as_table(funnel, paper_funnels()["freesound"])
    assert "| too\\_short | -1 | 25.0% |" in shown
    assert "567,078" in shown
    assert "about 302,000 | 53.3%" in shown
    (axes,) = as_plot(funnel, paper_funnels()["freesound"]).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["here", "paper"]


def test_the_papers_funnel_is_what_the_paper_says() -> None:
    if not PAPER.exists():
        pytest.skip(f"the paper's text is not at {PAPER}")
    text = PAPER.read_text("utf-8")
    (paper,) = paper_funnels().values()
    assert f"FreeSound\t{paper.clips_in}\t" in text
    assert paper.removed_words in text
    assert f"{paper.removed // 1000}k" in paper.removed_words
    assert paper.ablation.words in text
    assert [
        f"{number:,}".replace(",", " ") in text for number in (paper.ablation.before, paper.ablation.after)
    ]
    assert abs(paper.clips_in - paper.removed - paper.kept) < 500


def test_a_source_is_read_whole_from_its_partitions(tmp_path: Path) -> None:
    tables = TableStore(Store(tmp_path))
    # Six clips share a description, three in each month.
    for month in ("2010-01", "2010-02"):
        names = [f"{month}-{i}" for i in range(3)]
        tables.write(["freesound", "raw_clips"], month, raw(*(clip(n, description="x") for n in names)))
        gone = drop(names[0], "freesound", "audio", "audio_gone", "404")
        tables.write(["freesound", "audio"], month, audio([audio_row(n) for n in names[1:]], [gone]))
    stage = filter_clips(*read_inputs(tables, "freesound", FilterSettings()), FilterSettings())
    assert Counter(reasons(stage).values()) == {"audio_gone": 2, "frequent_description": 4}


def test_some_columns_of_a_table_are_read_and_an_older_table_is_refused(tmp_path: Path) -> None:
    tables = TableStore(Store(tmp_path))
    key = ["freesound", "raw_clips"]
    tables.write(key, "2010-01", raw(clip("a"), clip("b")))
    some = tables.read(key, columns=["tags", "clip_id"])
    assert some.equals(tables.read(key).select(["tags", "clip_id"]))
    # An older table is refused even where all that is wanted is there.
    path = tmp_path / "tables" / "freesound" / "raw_clips" / "2010-01.parquet"
    pq.write_table(tables.read(key).drop_columns(["licence"]), path)
    with pytest.raises(OtherVersion, match="materialize its asset again"):
        tables.read(key, columns=["clip_id"])


@pytest.mark.slow
@pytest.mark.parametrize("source", ["bbc_sound_effects", "freesound"])
def test_the_bbcs_real_listing_is_filtered_as_by_hand(source: str) -> None:
    if not BBC.exists():
        pytest.skip(f"the BBC's listing is not at {BBC}")
    with BBC.open(encoding="utf-8", newline="") as lines:
        listed = list(csv.DictReader(lines))
    rows = [
        clip(row["location"], source, description=row["description"], claimed_duration_s=float(row["secs"]))
        for row in listed
    ]
    settings = FilterSettings(min_duration_s=5)
    used = Counter(row["description"] for row in listed)
    expected = {}
    for row in listed:
        if float(row["secs"]) < 5:
            expected[row["location"]] = "too_short"
        elif source == "freesound" and used[row["description"]] > 5:
            expected[row["location"]] = "frequent_description"
    stage = filter_clips(raw(*rows), audio([]), settings)
    assert reasons(stage) == expected
    assert stage.kept.num_rows == len(listed) - len(expected)
    # As the paper has it, nothing of the BBC's is dropped here: its shortest effect claims a second.
    if source == "bbc_sound_effects":
        assert filter_clips(raw(*rows), audio([]), FilterSettings()).dropped.num_rows == 0
