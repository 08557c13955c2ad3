"""AudioSet's strong labels: the published files, damaged ones, and a user's folder of clips."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.sources.conftest import Opener
from tests.support.paths import DATA, SHARED
from tests.support.servers import running
from wavcaps_assets.crawl.licences import normalise_licence
from wavcaps_assets.network.errors import BadAnswer, NotAllowed, NotThere
from wavcaps_assets.sources.audioset_files import find_clips
from wavcaps_assets.sources.audioset_sl import HEADER, MAX_BAD_ROWS, AudiosetSettings, AudiosetStrongLabels
from wavcaps_assets.sources.base import Note, Record

AUDIOSET = DATA / "audioset"
TRAIN = "audioset_train_strong.tsv"
NAMES = "mid_to_display_name.tsv"
HEAD = "\t".join(HEADER)
WATCH = "https://www.youtube.com/watch"
# An id with hyphens and underscores, and one before the start time.
VIDEO = "-_abc-d_ef_"
MIDS = "/m/1\tDog\n/m/2\tBark\n/t/dd00002\tBaby cry, infant cry\n"


def crawl(
    files: Mapping[str, str], network_to: Opener, partition: str = "train", **settings: Any
) -> list[Record]:
    def serve(request: Request) -> Response:
        text = files.get(request.path_params["name"])
        return PlainTextResponse(text or "", status_code=200 if text is not None else 404)

    with running(Starlette(routes=[Route("/{name}", serve)])) as url:
        chosen = AudiosetSettings(labels_url=url, watch_url=WATCH, **settings)
        found = list(AudiosetStrongLabels(chosen).records(network_to(url), partition))
    notes = [item.text for item in found if isinstance(item, Note)]
    assert len(notes) <= 1
    # Every clip without a file is in the note.
    assert not notes or "clips have no file in " in notes[0]
    return [item for item in found if isinstance(item, Record)]


def labels(*rows: str, names: str = MIDS) -> dict[str, str]:
    return {NAMES: names, TRAIN: "".join(f"{row}\n" for row in (HEAD, *rows))}


def test_a_clip_is_read_with_its_events_in_order_of_onset(network_to: Opener) -> None:
    rows = (
        f"{VIDEO}_30500\t4.5\t9.0\t/m/2",
        "other-video_0\t0.0\t10.0\t/t/dd00002",
        # Apart from the first row, out of order, and the same label twice.
        f"{VIDEO}_30500\t0.25\t3.5\t/m/1",
        f"{VIDEO}_30500\t0.25\t1.5\t/m/2",
        f"{VIDEO}_30500\t5.0\t6.0\t/m/2",
    )
    first, second = crawl(labels(*rows), network_to)
    assert first == Record(
        source_id=f"{VIDEO}_30500",
        audio_url=f"Y{VIDEO}.wav",
        events=(
            {"onset_s": 0.25, "offset_s": 1.5, "label": "Bark"},
            {"onset_s": 0.25, "offset_s": 3.5, "label": "Dog"},
            {"onset_s": 4.5, "offset_s": 9.0, "label": "Bark"},
            {"onset_s": 5.0, "offset_s": 6.0, "label": "Bark"},
        ),
        event_mids=("/m/2", "/m/1", "/m/2", "/m/2"),
        start_s=30.5,
        licence="CC BY 4.0 (labels)",
        page_url=f"{WATCH}?v={VIDEO}&t=30",
        claimed_duration_s=10.0,
    )
    assert normalise_licence(first.licence).name == "unknown"
    assert (second.source_id, second.start_s) == ("other-video_0", 0.0)


@pytest.mark.skipif(not AUDIOSET.is_dir(), reason=f"no excerpts of the real labels at {AUDIOSET}")
def test_the_published_excerpts_are_read_to_the_last_event(network_to: Opener) -> None:
    names = (AUDIOSET / NAMES).read_text(encoding="utf-8")
    called = dict(line.split("\t") for line in names.splitlines())
    videos: set[str] = set()
    events = 0
    for split in ("train", "eval"):
        excerpts = sorted(AUDIOSET.glob(f"strong_excerpts/*_{split}_strong.tsv"))
        assert len(excerpts) == 6
        body = [line for path in excerpts for line in path.read_text(encoding="utf-8").splitlines()[1:]]
        expected: defaultdict[str, Counter[tuple[float, float, str]]] = defaultdict(Counter)
        for row in csv.DictReader([HEAD, *body], delimiter="\t"):
            span = float(row["start_time_seconds"]), float(row["end_time_seconds"])
            expected[row["segment_id"]][(*span, called[row["label"]])] += 1
        file = {NAMES: names, f"audioset_{split}_strong.tsv": "\n".join([HEAD, *body])}
        found = crawl(file, network_to, split)
        assert all(record.problem is None for record in found)
        read = {
            record.source_id: Counter((e["onset_s"], e["offset_s"], e["label"]) for e in record.events)
            for record in found
        }
        assert read == expected
        for record in found:
            assert [called[mid] for mid in record.event_mids or ()] == [e["label"] for e in record.events]
            onsets = [event["onset_s"] for event in record.events]
            assert onsets == sorted(onsets)
            assert record.source_id == f"{record.audio_url[1:-4]}_{round((record.start_s or 0) * 1000)}"
        videos |= {record.source_id.rpartition("_")[0] for record in found}
        events += len(body)
    # As the excerpts' own description counts them.
    assert (events, len(videos)) == (9_525, 3_157)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "source_id", "message"),
    [
        (f"{VIDEO}_0\t1.0\t2.0", f"{VIDEO}_0", "line 3: 3 columns"),
        (f"{VIDEO}_0\t1.0\t2.0\t/m/1\tPRESENT", f"{VIDEO}_0", "line 3: 5 columns"),
        (f"{VIDEO}_0\tx\t2.0\t/m/1", f"{VIDEO}_0", "'x' to '2.0' is not a span"),
        (f"{VIDEO}_0\t3.0\t2.0\t/m/1", f"{VIDEO}_0", "is not a span"),
        (f"{VIDEO}_0\tnan\tinf\t/m/1", f"{VIDEO}_0", "is not a span"),
        (f"{VIDEO}_0\t1.0\t2.0\t/m/404", f"{VIDEO}_0", "no name for '/m/404'"),
        ("../../../etc\t1.0\t2.0\t/m/1", "", "is not <id>_<start in ms>"),
        (f"{VIDEO}\t1.0\t2.0\t/m/1", "", "is not <id>_<start in ms>"),
        ("\0\x1b[31m", "", "1 columns"),
    ],
)
def test_a_malformed_row_is_set_aside_with_its_line(
    network_to: Opener, row: str, source_id: str, message: str
) -> None:
    good = "good-video__1000\t0.0\t1.0\t/m/1"
    found = crawl(labels(good, row, "last-video__0\t0.0\t1.0\t/m/2"), network_to)
    bad = [record for record in found if record.problem]
    assert [record.source_id for record in bad] == [source_id]
    assert TRAIN in (bad[0].problem or "")
    assert message in (bad[0].problem or "")
    assert [record.source_id for record in found if not record.problem] == [
        "good-video__1000",
        "last-video__0",
    ]


def test_a_malformed_name_is_set_aside_with_its_line(network_to: Opener) -> None:
    names = "/m/1\tDog\n/m/2\n\n/m/3\t \n"
    found = crawl(labels(f"{VIDEO}_0\t0.0\t1.0\t/m/1", names=names), network_to)
    assert [record.problem for record in found[:-1]] == [
        f"{NAMES}, line 2: 1 columns, not a MID and its name",
        f"{NAMES}, line 4: 2 columns, not a MID and its name",
    ]
    assert found[-1].events[0]["label"] == "Dog"


@pytest.mark.slow
@pytest.mark.parametrize(
    "files",
    [
        {NAMES: MIDS, TRAIN: ""},
        {NAMES: MIDS, TRAIN: "<html>moved</html>"},
        {NAMES: MIDS, TRAIN: HEAD.replace("label", "mid")},
        {NAMES: MIDS, TRAIN: HEAD.replace("\t", ",")},
        {NAMES: "", TRAIN: HEAD},
        labels(*[f"{VIDEO}_0,0.0,1.0,/m/1"] * (MAX_BAD_ROWS + 1)),
    ],
)
def test_another_file_fails_loudly(network_to: Opener, files: dict[str, str]) -> None:
    with pytest.raises(BadAnswer):
        crawl(files, network_to)


def test_windows_line_ends_and_a_last_line_without_one_are_read(network_to: Opener) -> None:
    files = {NAMES: MIDS.replace("\n", "\r\n"), TRAIN: f"{HEAD}\r\n\r\n{VIDEO}_0\t0\t1\t/m/2"}
    (record,) = crawl(files, network_to)
    assert record.events == ({"onset_s": 0.0, "offset_s": 1.0, "label": "Bark"},)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start_ms", "names", "chosen"),
    [
        (30_000, [f"Y{VIDEO}.wav"], f"Y{VIDEO}.wav"),
        (30_000, [f"{VIDEO}.m4a"], f"{VIDEO}.m4a"),
        (30_000, [f"{VIDEO}_30000.FLAC"], f"{VIDEO}_30000.FLAC"),
        (30_000, [f"{VIDEO}_30.mp3"], f"{VIDEO}_30.mp3"),
        (30_000, [f"Y{VIDEO}_30.opus"], f"Y{VIDEO}_30.opus"),
        (30_000, [f"Y{VIDEO}_30000.webm"], f"Y{VIDEO}_30000.webm"),
        # What names the start is surer than what does not; lossless is better than lossy.
        (30_000, [f"Y{VIDEO}.wav", f"{VIDEO}_30000.mp3"], f"{VIDEO}_30000.mp3"),
        (30_000, [f"{VIDEO}_30.mp3", f"{VIDEO}_30.flac", f"{VIDEO}_30.ogg"], f"{VIDEO}_30.flac"),
        (30_000, [f"train/000/Y{VIDEO}.wav", f"{VIDEO}_30.0_40.0.mp3"], f"{VIDEO}_30.0_40.0.mp3"),
        (30_500, [f"{VIDEO}_30.5-40.5.webm"], f"{VIDEO}_30.5-40.5.webm"),
        # Another start, another video, no audio, no file.
        (30_000, [f"{VIDEO}_40000.wav"], f"Y{VIDEO}.wav"),
        (30_500, [f"{VIDEO}_30.wav"], f"Y{VIDEO}.wav"),
        (30_500, [f"{VIDEO}_30.5-wrong.wav"], f"Y{VIDEO}.wav"),
        (30_000, [f"Z{VIDEO[1:]}.flac", f"{VIDEO}.txt", f"{VIDEO}"], f"Y{VIDEO}.wav"),
    ],
)
def test_a_user_s_folder_is_searched_by_the_usual_names(
    network_to: Opener, tmp_path: Path, start_ms: int, names: list[str], chosen: str
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / f"{VIDEO}_{start_ms}.wav").mkdir()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    files = labels(f"{VIDEO}_{start_ms}\t0\t1\t/m/2")
    (record,) = crawl(files, network_to, clips_url=str(folder), least_found=0)
    assert record.audio_url == chosen
    source = AudiosetStrongLabels(AudiosetSettings(clips_url=str(folder)))
    assert source.folder == folder


def test_a_folder_that_is_none_is_told_with_its_setting(network_to: Opener, tmp_path: Path) -> None:
    with pytest.raises(NotThere, match="WAVCAPS_AUDIOSET__CLIPS_URL"):
        crawl(labels(), network_to, clips_url=str(tmp_path / "nowhere"))


def test_clips_can_be_served_or_not_be_there_at_all(network_to: Opener) -> None:
    row = labels(f"{VIDEO}_0\t0\t1\t/m/2")
    (served,) = crawl(row, network_to, clips_url="https://clips.example/audio")
    assert served.audio_url == f"https://clips.example/audio/Y{VIDEO}.wav"
    without = AudiosetStrongLabels(AudiosetSettings())
    assert without.folder is None
    with pytest.raises(NotAllowed, match="WAVCAPS_AUDIOSET__CLIPS_URL"):
        without.audio_headers(network_to("http://127.0.0.1:9"))


CASES = SHARED / "cases" / "audioset" / "file_names.txt"
PUBLIC_NAMES = (
    "Y{}.wav",
    "{}.wav",
    "{}_390.0-400.0.wav",
    "{}_390.0_400.0.flac",
    "{}_390_400.flac",
    "{}_390000_400000.wav",
    "{}_390.000.wav",
    "{}_000390.wav",
    "Y{}_390.mp4",
    "{}.mkv",
    "train/000/Y{}.wav",
    "{}.WAV",
)


def found_as(folder: Path, name: str, segment: str) -> bool:
    """Whether a clip is found under a name, in a folder that has nothing else."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    found = find_clips(folder, [segment])
    path.unlink()
    return found.paths == {segment: name}


@pytest.mark.parametrize("video", ["0abcdefghi_", "Y-bcdefghij", "-_abc-d_ef_"])
def test_names_that_public_tools_write_are_found(tmp_path: Path, video: str) -> None:
    for name in PUBLIC_NAMES:
        assert found_as(tmp_path, name.format(video), f"{video}_390000"), name
    for name in ("{}_30.0-40.0.wav", "{}_391.wav", "{}x.wav", "{}_390.txt", "Z{}.wav"):
        assert not found_as(tmp_path, name.format(video), f"{video}_390000"), name


@pytest.mark.skipif(not CASES.is_file(), reason=f"no list of names at {CASES}")
def test_every_name_of_the_list_is_recognised(tmp_path: Path) -> None:
    right, wrong = CASES.read_text(encoding="utf-8").split("# Not that clip")
    for text, expected in ((right, True), (wrong, False)):
        names = [line for line in text.splitlines()[1:] if line and not line.startswith("#")]
        assert names
        for name in names:
            assert found_as(tmp_path, name, "0abcdefghi__390000") is expected, name


@pytest.mark.slow
def test_a_folder_of_other_files_says_what_is_expected_and_what_is_there(
    network_to: Opener, tmp_path: Path
) -> None:
    rows = labels(f"{VIDEO}_0\t0\t1\t/m/2", "other-video_30000\t0\t1\t/m/2")
    with pytest.raises(NotThere, match=r"0 audio files, and 0 of the 2 clips of train.*has no audio"):
        crawl(rows, network_to, clips_url=str(tmp_path))
    (tmp_path / "clip 1.wav").touch()
    with pytest.raises(NotThere, match=r"Y<id>\.wav.*folder has clip 1\.wav.*LEAST_FOUND"):
        crawl(rows, network_to, clips_url=str(tmp_path))
    assert len(crawl(rows, network_to, clips_url=str(tmp_path), least_found=0)) == 2
    # A folder with one of the clips is a small one, not a wrong one.
    (tmp_path / "other-video.wav").touch()
    assert {record.audio_url for record in crawl(rows, network_to, clips_url=str(tmp_path))} == {
        f"Y{VIDEO}.wav",
        "other-video.wav",
    }


def test_a_folder_with_the_clips_of_one_split_is_right_for_both(network_to: Opener, tmp_path: Path) -> None:
    trained = [f"train-{number:05d}" for number in range(30)]
    tested = [f"eval--{number:05d}" for number in range(20)]
    files = {
        NAMES: MIDS,
        **{
            f"audioset_{split}_strong.tsv": "\n".join([HEAD, *(f"{video}_0\t0\t1\t/m/2" for video in videos)])
            for split, videos in (("train", trained), ("eval", tested))
        },
    }
    for video in trained:
        (tmp_path / f"Y{video}.wav").touch()
    assert len(crawl(files, network_to, "train", clips_url=str(tmp_path))) == 30
    assert len(crawl(files, network_to, "eval", clips_url=str(tmp_path))) == 20
    # With other files than those of the other split, it is a wrong folder.
    for number in range(40):
        (tmp_path / f"wrong-{number:05d}-eval.wav").touch()
    with pytest.raises(NotThere, match="0 of the 20 clips of eval"):
        crawl(files, network_to, "eval", clips_url=str(tmp_path))
    # The labels of the other split cannot be read.
    del files[TRAIN]
    with pytest.raises(NotThere, match="0 of the 20 clips of eval"):
        crawl(files, network_to, "eval", clips_url=str(tmp_path))


def test_many_events_without_a_name_do_not_stop_a_split(network_to: Opener) -> None:
    rows = [f"{VIDEO}_0\t{number / 1000}\t9\t/m/404" for number in range(MAX_BAD_ROWS + 1)]
    named, alone = f"{VIDEO}_0\t0\t1\t/m/1", "other-video_0\t0\t1\t/m/404"
    found = crawl(labels(*rows, named, alone), network_to)
    (clip,) = (record for record in found if not record.problem)
    assert (clip.source_id, [event["label"] for event in clip.events]) == (f"{VIDEO}_0", ["Dog"])
    assert [(record.source_id, record.problem) for record in found if record.problem] == [
        ("other-video_0", f"{TRAIN}, line {MAX_BAD_ROWS + 4}: {NAMES} has no name for '/m/404'"),
        ("", f"{TRAIN}, line 2: {NAMES} has no name for '/m/404'; {MAX_BAD_ROWS + 1} events left out"),
    ]


def test_the_published_files_are_where_public_tools_read_them() -> None:
    url = AudiosetSettings.read(None).labels_url
    assert url == "https://storage.googleapis.com/us_audioset/youtube_corpus/strong"
