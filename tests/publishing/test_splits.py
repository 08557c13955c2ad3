"""No recording is on two sides of the split, and a clip stays where it is."""

from collections import Counter, defaultdict
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from tests.support.rows import manifest_row
from wavcaps_assets.checks.splits import check_recordings_apart
from wavcaps_assets.publishing.recordings import all_recordings, parse_recordings, unknown_recordings
from wavcaps_assets.publishing.splits import SplitSettings, split_by_recording
from wavcaps_assets.tables import MANIFEST, RECORDINGS, SPLIT_ASSIGNMENTS

SETTINGS = SplitSettings()
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def recordings(*pairs: tuple[str, str]) -> pa.Table:
    return RECORDINGS.from_rows({"clip_id": clip, "recording": name} for clip, name in pairs)


def manifest(*clips: str, **changes: str) -> pa.Table:
    return MANIFEST.from_rows(manifest_row(clip, **changes) for clip in clips)


def split(wavcaps: pa.Table, known: pa.Table, settings: SplitSettings) -> pa.Table:
    """The split of a set that was never split before."""
    return split_by_recording(wavcaps, known, settings, SPLIT_ASSIGNMENTS.empty(), NOW).manifest


def sides(table: pa.Table) -> dict[str, str]:
    return dict(zip(table.column("clip_id").to_pylist(), table.column("split").to_pylist(), strict=True))


def test_clips_that_share_a_recording_by_way_of_a_third_stay_together() -> None:
    clips = [f"clip{i}" for i in range(300)]
    # Chains of three: clip 3n and 3n+2 share nothing directly.
    pairs = []
    for i in range(0, 300, 3):
        first, middle, last = clips[i : i + 3]
        pairs += [(first, f"x{i}"), (middle, f"x{i}"), (middle, f"y{i}"), (last, f"y{i}")]
    table = split(manifest(*clips), recordings(*pairs), SETTINGS)
    groups = defaultdict(set)
    for clip, side in sides(table).items():
        groups[int(clip.removeprefix("clip")) // 3].add(side)
    assert all(len(found) == 1 for found in groups.values())
    assert set(sides(table).values()) == {"train", "validation", "test"}
    assert check_recordings_apart(table, recordings(*pairs), manifest(*clips)).passed


def test_identical_audio_stays_together() -> None:
    twins = manifest(*(f"clip{i}" for i in range(50)), samples_sha256="the same")
    assert len(set(sides(split(twins, recordings(), SETTINGS)).values())) == 1


def test_the_shares_are_those_asked_for() -> None:
    table = split(manifest(*(f"clip{i}" for i in range(4000))), recordings(), SETTINGS)
    counts = Counter(sides(table).values())
    # Four standard deviations of a binomial with 4,000 draws are at most 101 clips.
    assert counts["test"] == pytest.approx(800, abs=101)
    assert counts["validation"] == pytest.approx(600, abs=101)


def test_clips_stay_where_they_are_as_the_set_grows() -> None:
    small = split(manifest(*(f"clip{i}" for i in range(100))), recordings(), SETTINGS)
    large = split(manifest(*(f"clip{i}" for i in range(500))), recordings(), SETTINGS)
    assert sides(small).items() <= sides(large).items()


def test_the_check_sees_a_leak() -> None:
    clips = manifest("a", "b")
    table = split(clips, recordings(("a", "r"), ("b", "r")), SETTINGS)
    leaking = table.set_column(table.column_names.index("split"), "split", pa.array(["train", "test"]))
    verdict = check_recordings_apart(leaking, recordings(("a", "r"), ("b", "r")), clips)
    assert not verdict.passed
    assert "recording r" in verdict.description


def test_a_list_of_recordings_with_other_columns_is_refused() -> None:
    assert parse_recordings("clip_id,recording\na,r\na,r\n").num_rows == 1
    with pytest.raises(ValueError, match="clip_id,recording"):
        parse_recordings("id,name\na,r\n")


@pytest.mark.parametrize(
    ("row", "message"), [('a,"tape 1', "near line"), ("a,tape 1, side B", "more cells than the header")]
)
def test_a_list_whose_rows_would_be_lost_or_cut_is_refused(row: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_recordings(f"clip_id,recording\n{row}\nb,tape 2\n")
    assert parse_recordings('\ufeffclip_id,recording\na,"tape 1, side B",\n').num_rows == 1


def test_clips_without_a_recording_in_the_list_are_not_one_recording() -> None:
    clips = [f"clip{i}" for i in range(60)]
    listed = parse_recordings("clip_id,recording\n" + "".join(f"{clip},\n" for clip in clips) + "clip0\n")
    assert listed.num_rows == 0
    table = split(manifest(*clips), listed, SETTINGS)
    assert len(set(table.column("recording").to_pylist())) == len(clips)
    assert set(sides(table).values()) == {"train", "validation", "test"}
    # The warning about sources without recordings is not silenced by such a list.
    assert unknown_recordings(table, listed).startswith("no recording is known for freesound (60 clips)")


def test_a_recording_has_one_name_however_it_is_written() -> None:
    written = ("Caf\u00e9 1", " Cafe\u0301 1 ")
    listed = parse_recordings("clip_id, recording\n" + "".join(f"c{n},{w}\n" for n, w in enumerate(written)))
    assert set(listed.column("recording").to_pylist()) == {"Caf\u00e9 1"}
    named = [manifest("c0", recording=written[0]), manifest("c1", recording=written[1].strip())]
    found = all_recordings(recordings(), pa.concat_tables(named))
    assert len(set(found.column("recording").to_pylist())) == 1


def test_a_source_names_recordings_too() -> None:
    clips = [f"clip{number}" for number in range(60)]
    rows = [manifest_row(clip, "local_folder", recording=f"tape {n // 2}") for n, clip in enumerate(clips)]
    wavcaps = MANIFEST.from_rows(rows)
    found = all_recordings(RECORDINGS.empty(), wavcaps)
    table = split(wavcaps, found, SETTINGS)
    assert all(sides(table)[clips[n]] == sides(table)[clips[n + 1]] for n in range(0, 60, 2))
    assert len(set(sides(table).values())) == 3
    assert check_recordings_apart(table, found, wavcaps).passed
    assert unknown_recordings(table, found) == ""


def test_the_same_name_at_two_sources_is_two_recordings() -> None:
    rows = [manifest_row("a", "local_folder", recording="1"), manifest_row("b", "freesound", recording="1")]
    found = all_recordings(recordings(("a", "tape")), MANIFEST.from_rows(rows)).to_pylist()
    assert [tuple(row.values()) for row in found] == [
        ("a", "local_folder: 1"),
        ("a", "tape"),
        ("b", "freesound: 1"),
    ]


def test_a_list_that_names_no_clip_of_the_set_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"none of the 1 clips .* WAVCAPS_RECORDINGS_URL"):
        all_recordings(recordings(("dog.wav", "tape")), manifest("clip1"))


def test_the_split_says_for_which_sources_no_recording_is_known() -> None:
    wavcaps = manifest("clip1", "clip2")
    table = split(wavcaps, recordings(), SETTINGS)
    assert "freesound (2 clips)" in unknown_recordings(table, recordings())
    assert unknown_recordings(table, recordings(("clip1", "tape"))) == ""
