"""Fetching audio: every failure is a row with its reason and affects no other clip."""

from __future__ import annotations

import io
import json
import os
import resource
import socket
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from tests.audio.fetching import KEY, PARTITION, RATE, Fetching, Folder, Keyed, Site, reasons, wav
from tests.simulation.stepped_clock import SteppedClock
from tests.support.full_disk import files_no_longer_than
from tests.support.rows import raw_row
from tests.support.rude_server import Answer, Asked, answer, endless, in_turn
from wavcaps_assets.audio.fetch import fetch_audio
from wavcaps_assets.audio.host_health import NoAudio
from wavcaps_assets.audio.originals import Origin
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.crawl.history import Event, History
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.errors import HostDown, NotAllowed, Paused
from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables import AUDIO, BY_ASSET, RAW_CLIPS


def not_a_number() -> bytes:
    samples = np.zeros(1000, dtype=np.float32)
    samples[500] = np.nan
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def redirect(location: str) -> Answer:
    return answer(status="302 Found", headers={"Location": location})


def silent(asked: Asked, connection: socket.socket) -> None:
    threading.Event().wait(1)


FAULTS: dict[str, tuple[Answer, str]] = {
    "nothing there": (answer(status="404 Not Found"), "audio_gone"),
    "gone": (answer(status="410 Gone"), "audio_gone"),
    "forbidden": (answer(status="403 Forbidden"), "audio_refused"),
    "broken server": (answer(status="500 Oh"), "download_failed"),
    "busy server": (answer(status="503 Busy"), "download_failed"),
    "strange status": (answer(status="418 Teapot"), "download_failed"),
    "silence": (silent, "download_failed"),
    "cut in the middle": (answer(wav()[:2000], length=len(wav())), "download_failed"),
    "10 GB": (endless(b"x" * 65536, {"Content-Length": str(10 * 2**30)}), "audio_too_large"),
    "without end": (endless(b"x" * 65536), "audio_too_large"),
    "an error page with status 200": (answer(b"<?xml version='1.0'?><Error/>"), "not_audio"),
    "a page": (answer(b"\n<!DOCTYPE html><title>Sorry</title>"), "not_audio"),
    "to a private address": (redirect("http://10.0.0.1/a.wav"), "bad_address"),
    "to the machine's own secrets": (redirect("http://169.254.169.254/a"), "bad_address"),
    "to a file": (redirect("file:///etc/passwd"), "bad_address"),
    "in a circle": (redirect("/in a circle".replace(" ", "%20")), "download_failed"),
    "empty": (answer(b""), "empty_audio"),
    "noise": (answer(bytes(range(256)) * 100), "unreadable_audio"),
    "no samples": (answer(wav(0)), "empty_audio"),
    "NaN": (answer(not_a_number()), "unreadable_audio"),
    "two minutes where one is allowed": (answer(wav(61, 0, format="FLAC")), "too_long"),
}


@pytest.mark.slow
def test_every_failure_is_a_row_with_its_reason_and_affects_no_other_clip(fetching: Fetching) -> None:
    paths = ["/good.wav"]
    for name, (fault, _) in FAULTS.items():
        path = "/" + name.replace(" ", "%20")
        fetching.server.answers[path] = fault
        paths += [path, "/good.wav"]
    clips = fetching.clips(paths)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stage = fetching.fetch(clips)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024
    expected = {f"freesound-{1 + 2 * n}": reason for n, (_, reason) in enumerate(FAULTS.values())}
    assert reasons(stage) == expected
    good = [row["clip_id"] for row in stage.kept.to_pylist()]
    assert good == [f"freesound-{number}" for number in range(0, len(paths), 2)]
    assert all(row["detail"] for row in stage.dropped.to_pylist())
    # Final failures leave no files.
    left = [path.name for path in (fetching.folder / "partial").rglob("*") if path.is_file()]
    assert not [name for name in left if not name.endswith((".part", ".part.json"))]


def test_thirty_two_channels_are_mixed_to_one(fetching: Fetching) -> None:
    fetching.server.answers["/wide.wav"] = answer(wav(channels=32))
    (row,) = fetching.fetch(fetching.clips(["/wide.wav"])).kept.to_pylist()
    assert (row["original_channels"], row["duration_s"]) == (32, 0.5)
    info = soundfile.info(fetching.tables.store.path(row["audio_path"]))
    assert (info.format, info.samplerate, info.channels) == ("FLAC", 32_000, 1)


def test_stored_audio_is_not_fetched_again(fetching: Fetching) -> None:
    clips = fetching.clips(["/good.wav", "/good.wav?2"])
    first = fetching.fetch(clips)
    again = fetching.fetch(clips)
    assert again.kept.equals(first.kept)
    assert fetching.server.times("/good.wav") == 2


def test_a_stored_file_that_vanished_or_shrank_is_fetched_again(fetching: Fetching) -> None:
    clips = fetching.clips(["/good.wav", "/good.wav?2", "/good.wav?3"])
    rows = fetching.fetch(clips).kept.to_pylist()
    fetching.tables.store.path(rows[0]["audio_path"]).unlink()
    fetching.tables.store.path(rows[1]["audio_path"]).write_bytes(b"fLaC")
    fetching.fetch(clips)
    assert fetching.server.times("/good.wav") == 5
    assert soundfile.info(fetching.tables.store.path(rows[1]["audio_path"])).frames == 16_000


def test_a_failed_request_is_repeated_once_per_fetch(fetching: Fetching) -> None:
    fetching.server.answers["/noise.wav"] = answer(b"noise" * 1000)
    clips = fetching.clips(["/gone.wav", "/noise.wav"])
    interrupted = fetching.fetch(clips, written=False)
    resumed = fetching.fetch(clips)
    assert resumed.crawl_id == interrupted.crawl_id
    assert (fetching.server.times("/gone.wav"), fetching.server.times("/noise.wav")) == (1, 1)
    # What was not there may be back, and what could not be decoded may be repaired.
    fetching.server.answers["/gone.wav"] = answer(wav())
    later = fetching.fetch(clips)
    assert [row["clip_id"] for row in later.kept.to_pylist()] == ["freesound-0"]
    assert (fetching.server.times("/gone.wav"), fetching.server.times("/noise.wav")) == (2, 2)
    for _ in range(3):
        fetching.fetch(clips)
    # Three fetches had the same file: there is no fourth request.
    assert fetching.server.times("/noise.wav") == 3


def test_audio_that_its_source_replaced_is_fetched_again(fetching: Fetching) -> None:
    clips = fetching.clips(["/good.wav"])
    fetching.fetch(clips)
    changed = RAW_CLIPS.from_rows([{**clips.to_pylist()[0], "claimed_bytes": 7, "version": 2}])
    fetching.fetch(changed)
    assert fetching.server.times("/good.wav") == 2


def test_audio_that_was_replaced_while_the_clock_was_set_back_is_fetched_once(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SteppedClock(datetime(2026, 11, 2, tzinfo=UTC), monkeypatch)
    clips = fetching.clips(["/good.wav"])
    fetching.fetch(clips)
    clock.set(datetime(2026, 11, 1, tzinfo=UTC))
    changed = RAW_CLIPS.from_rows([{**clips.to_pylist()[0], "claimed_bytes": 7, "version": 2}])
    for _ in range(3):
        fetching.fetch(changed)
    assert fetching.server.times("/good.wav") == 2


def test_a_host_that_is_down_fails_no_clip(fetching: Fetching) -> None:
    fetching.server.answers.update({f"/{number}.wav": answer(status="500 Oh") for number in range(20)})
    clips = fetching.clips(["/good.wav", *(f"/{number}.wav" for number in range(20))])
    fetching.fetch(clips.slice(0, 1))
    with pytest.raises(Paused):
        fetching.fetch(clips, failures_in_a_row=8, read_timeout_s=30)
    fetching.server.answers.update({f"/{number}.wav": answer(wav()) for number in range(20)})
    (fetching.folder / "state" / "quotas.sqlite").unlink()
    stage = fetching.fetch(clips, read_timeout_s=30)
    # Eight in a row failed, and at most three more were being requested; the pause saved the others.
    assert stage.kept.num_rows >= 21 - 8 - 3
    assert fetching.fetch(clips, read_timeout_s=30).kept.num_rows == 21
    # Once more, to see that the host is back.
    assert fetching.server.times("/good.wav") == 2


BLOCKED: dict[str, Answer] = {
    "forbidden": answer(status="403 Forbidden"),
    "not found": answer(status="404 Not Found"),
    "a captcha with status 200": answer(b"<!DOCTYPE html><title>Are you human?</title>"),
    "json with status 200": answer(b'{"detail": "blocked"}'),
    "an empty body": answer(b""),
    "a file that was cut off": answer(wav()[:40]),
}


@pytest.mark.slow
@pytest.mark.parametrize("blocked", BLOCKED.values(), ids=BLOCKED.keys())
@pytest.mark.parametrize("count", [6, 40])
def test_a_host_that_refuses_every_clip_pauses_the_partition(
    fetching: Fetching, blocked: Answer, count: int
) -> None:
    paths = [f"/{number}.wav" for number in range(count)]
    fetching.server.answers.update(dict.fromkeys(paths, blocked))
    clips = fetching.clips(paths)
    for _ in range(4):
        with pytest.raises(HostDown, match="failed in a row"):
            fetching.fetch(clips)
    # At most the limit, and what the other workers were fetching, with a retry of each.
    assert len(fetching.server.asked) <= 4 * (20 + 2 * 3)
    fetching.server.answers.update(dict.fromkeys(paths, answer(wav())))
    stage = fetching.fetch(clips)
    assert (stage.kept.num_rows, stage.dropped.num_rows) == (count, 0)


@pytest.mark.slow
def test_a_host_that_starts_to_refuse_half_way_loses_no_clip(fetching: Fetching) -> None:
    refused = [f"/{number}.wav" for number in range(40)]
    fetching.server.answers.update(dict.fromkeys(refused, BLOCKED["forbidden"]))
    clips = fetching.clips([*[f"/good.wav?{number}" for number in range(20)], *refused])
    with pytest.raises(HostDown, match="audio_refused: 20"):
        fetching.fetch(clips, read_timeout_s=30)
    fetching.server.answers.update(dict.fromkeys(refused, answer(wav())))
    assert fetching.fetch(clips, read_timeout_s=30).kept.num_rows == 60
    assert fetching.server.times("/good.wav") == 20


GONE = [f"/gone-{number}.wav" for number in range(25)]


@pytest.mark.slow
@pytest.mark.parametrize("answers", [True, False], ids=["a stored clip answers", "no clip answers"])
def test_the_pause_ends_by_itself_if_clips_are_gone_and_the_host_is_well(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    clips = fetching.clips(["/good.wav", *GONE])
    fetching.tables.write(["freesound", "raw_clips"], PARTITION, clips)
    clock = SteppedClock(datetime(2026, 11, 1, tzinfo=UTC), monkeypatch)
    fetching.fetch(clips.slice(0, 1))
    # Several pauses on one day count once.
    for day in (2, 2, 2, 3, 4):
        clock.set(max(clock.now(), datetime(2026, 11, day, tzinfo=UTC)))
        with pytest.raises(HostDown):
            fetching.fetch(clips)
    clock.set(datetime(2026, 11, 5, tzinfo=UTC))
    if not answers:
        fetching.server.answers["/good.wav"] = answer(status="404 Not Found")
        # A person has to look: the run fails, and nothing is recorded against the clips.
        with pytest.raises(NoAudio, match="on 3 days before, and no stored clip"):
            fetching.fetch(clips)
        fetching.server.answers.update(dict.fromkeys(["/good.wav", *GONE], answer(wav())))
        assert fetching.fetch(clips).kept.num_rows == 26
        return
    stage = fetching.fetch(clips)
    assert (stage.kept.num_rows, Counter(reasons(stage).values())) == (1, {"audio_gone": 25})
    # The stored clip was downloaded at first, and once to see that the host answers.
    assert fetching.server.times("/good.wav") == 2


@pytest.mark.slow
def test_a_kill_before_the_host_is_blamed_loses_no_clip(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = [f"/{number}.wav" for number in range(20)]
    fetching.server.answers.update(dict.fromkeys(refused, BLOCKED["forbidden"]))
    clips = fetching.clips(["/good.wav", *refused])
    fetching.fetch(clips.slice(0, 1))

    def killed(self: History, event: Event, *args: str, **more: Any) -> None:
        if event is Event.HOST_FAULT:
            raise KeyboardInterrupt
        added(self, event, *args, **more)

    added = History.add
    with monkeypatch.context() as patched:
        patched.setattr(History, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            fetching.fetch(clips)
    with pytest.raises(HostDown):
        fetching.fetch(clips)
    fetching.server.answers.update(dict.fromkeys(refused, answer(wav())))
    assert fetching.fetch(clips).kept.num_rows == 21


@pytest.mark.slow
@pytest.mark.parametrize("good", ["every second", "one"])
def test_many_failures_among_good_clips_are_their_own_or_a_pause_and_never_lost(
    fetching: Fetching, good: str
) -> None:
    paths = [f"/{number}.wav" for number in range(30)]
    well = paths[::2] if good == "every second" else paths[:1]
    refused = dict.fromkeys([path for path in paths if path not in well], BLOCKED["forbidden"])
    fetching.server.answers.update({**dict.fromkeys(well, answer(wav())), **refused})
    clips = fetching.clips(paths)
    if good == "every second":
        assert reasons(fetching.fetch(clips)) == {
            f"freesound-{number}": "audio_refused" for number in range(1, 30, 2)
        }
    else:
        with pytest.raises(HostDown):
            fetching.fetch(clips)
    fetching.server.answers.update(dict.fromkeys(paths, answer(wav())))
    assert fetching.fetch(clips).kept.num_rows == 30


def test_three_of_three_clips_that_fail_are_requested_by_the_next_fetch(fetching: Fetching) -> None:
    paths = ["/0.wav", "/1.wav", "/2.wav"]
    fetching.server.answers.update(dict.fromkeys(paths, BLOCKED["forbidden"]))
    clips = fetching.clips(paths)
    assert fetching.fetch(clips).dropped.num_rows == 3
    fetching.server.answers.update(dict.fromkeys(paths, answer(wav())))
    assert fetching.fetch(clips).kept.num_rows == 3


def test_clips_that_are_known_to_fail_do_not_blame_the_host(fetching: Fetching) -> None:
    paths = [path for number in range(30) for path in (f"/{number}.wav", f"/good.wav?{number}")]
    clips = fetching.clips(paths)
    first = fetching.fetch(clips)
    assert (first.kept.num_rows, first.dropped.num_rows) == (30, 30)
    # Only those thirty are requested again, and they fail as before.
    again = fetching.fetch(clips)
    assert (again.kept.num_rows, again.dropped.num_rows) == (30, 30)


def test_a_wrong_key_fails_no_clip(fetching: Fetching) -> None:
    fetching.server.answers["/a.wav"] = answer(status="401 Unauthorized")
    with pytest.raises(NotAllowed):
        fetching.fetch(fetching.clips(["/a.wav", *["/good.wav"] * 50]), source=Keyed())
    # The same key was not sent again for the others.
    assert len(fetching.server.asked) < 10


def test_no_more_is_requested_once_the_disk_is_full(fetching: Fetching) -> None:
    fetching.server.answers["/slow.wav"] = silent
    fetching.server.answers["/long.wav"] = answer(wav(seconds=8))
    clips = fetching.clips(["/slow.wav", *["/long.wav"] * 12])
    with files_no_longer_than(400_000), pytest.raises(OSError, match="File too large"):
        fetching.fetch(clips)
    # Each of the threads but the one that waits.
    assert 1 <= fetching.server.times("/long.wav") <= 3
    assert fetching.fetch(clips).kept.num_rows == 12


def test_a_refused_file_fails_one_clip(fetching: Fetching) -> None:
    fetching.server.answers["/a.wav"] = answer(status="401 Unauthorized")
    stage = fetching.fetch(fetching.clips(["/a.wav", "/good.wav"]))
    assert reasons(stage) == {"freesound-0": "audio_refused"}


def test_a_url_that_changes_between_two_runs_of_a_fetch_is_fetched_once(fetching: Fetching) -> None:
    clips = fetching.clips(["/good.wav"])
    fetching.fetch(clips)
    fetching.fetch(clips)
    changed = fetching.clips(["/good.wav?new"])
    fetching.fetch(changed, written=False)
    fetching.fetch(changed)
    assert fetching.server.times("/good.wav") == 2


def test_a_failure_during_an_outage_is_retried(fetching: Fetching) -> None:
    fetching.server.answers["/a.wav"] = in_turn(*[answer(status="503 Busy")] * 2, answer(wav()))
    stage = fetching.fetch(fetching.clips(["/a.wav", "/good.wav"]))
    assert stage.dropped.num_rows == 0
    with History(fetching.tables.store, "freesound", PARTITION) as history:
        events = [event["event"] for event in history if event["clip_id"] == "freesound-0"]
    assert events == ["failed", "stored"]


def test_a_local_file_is_read_inside_its_folder_only(fetching: Fetching, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "a.wav").write_bytes(wav())
    (tmp_path / "secret.wav").write_bytes(wav())
    (folder / "link.wav").symlink_to(tmp_path / "secret.wav")
    names = ["a.wav", "missing.wav", "../secret.wav", str(tmp_path / "secret.wav"), "link.wav"]
    clips = RAW_CLIPS.from_rows(
        raw_row(f"freesound-{number}", audio_url=name) for number, name in enumerate(names)
    )
    with Network(tmp_path / "state") as network:
        origin = Origin(network, tmp_path / "partial")
        stage = fetch_audio(Folder(folder), PARTITION, clips, fetching.tables, origin, FetchSettings())
    assert [row["clip_id"] for row in stage.kept.to_pylist()] == ["freesound-0"]
    assert reasons(stage) == {
        "freesound-1": "audio_gone",
        "freesound-2": "outside_folder",
        "freesound-3": "outside_folder",
        "freesound-4": "outside_folder",
    }
    assert (folder / "a.wav").is_file()


def test_a_local_file_that_was_replaced_is_read_again(fetching: Fetching, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "a.wav").write_bytes(wav(0.5))
    (folder / "b.wav").write_bytes(b"not audio")
    clips = RAW_CLIPS.from_rows(raw_row(f"freesound-{name}", audio_url=f"{name}.wav") for name in "ab")
    first = fetching.fetch(clips, source=Folder(folder))
    again = fetching.fetch(clips, source=Folder(folder))
    assert again.kept.equals(first.kept)
    (folder / "a.wav").write_bytes(wav(0.5, level=0.5))
    (folder / "b.wav").write_bytes(wav(0.25))
    replaced = fetching.fetch(clips, source=Folder(folder))
    assert replaced.kept.column("duration_s").to_pylist() == [0.5, 0.25]
    assert replaced.kept["samples_sha256"][0] != first.kept["samples_sha256"][0]


def test_a_history_without_file_versions_reads_no_file_again(fetching: Fetching, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "a.wav").write_bytes(wav())
    clips = RAW_CLIPS.from_rows([raw_row("freesound-a", audio_url="a.wav")])
    fetching.fetch(clips, source=Folder(folder))
    (log,) = fetching.tables.store.path(f"log/clips/freesound/{PARTITION}").iterdir()
    event = json.loads(log.read_text())
    log.write_text(json.dumps({**event, "asked_for": event["asked_for"][:3]}) + "\n")
    fetching.fetch(clips, source=Folder(folder))
    with History(fetching.tables.store, "freesound", PARTITION) as history:
        assert [event["event"] for event in history] == ["stored"]
    os.utime(folder / "a.wav")
    fetching.fetch(clips, source=Folder(folder))
    with History(fetching.tables.store, "freesound", PARTITION) as history:
        assert [event["event"] for event in history] == ["stored", "stored"]


def test_a_file_shorter_than_its_source_says_is_not_stored(fetching: Fetching) -> None:
    class Exact(Site):
        exact_bytes = True

    row = fetching.clips(["/good.wav"]).to_pylist()[0]
    short = RAW_CLIPS.from_rows([{**row, "claimed_bytes": len(wav()) + 1}])
    stage = fetching.fetch(short, source=Exact())
    assert reasons(stage) == {"freesound-0": "download_failed"}
    whole = RAW_CLIPS.from_rows([{**row, "claimed_bytes": len(wav())}])
    assert fetching.fetch(whole, source=Exact()).kept.num_rows == 1


def test_a_column_that_was_added_since_is_null_and_fetches_nothing_again(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = fetching.clips(["/good.wav"])
    (before,) = fetching.fetch(clips).kept.to_pylist()
    loudness = Column("loudness_lufs", pa.float64(), "loudness (LUFS)", nullable=True, added_in=2)
    newer = TableSchema("audio", "Audio.", (*AUDIO.columns, loudness))
    for module in ("fetch", "clip_fetches"):
        monkeypatch.setattr(f"wavcaps_assets.audio.{module}.AUDIO", newer)
    monkeypatch.setitem(BY_ASSET, "audio", newer)
    asked = len(fetching.server.asked)
    assert fetching.tables.read(KEY).to_pylist() == [{**before, "loudness_lufs": None}]
    assert fetching.fetch(clips).kept.to_pylist() == [{**before, "loudness_lufs": None}]
    assert len(fetching.server.asked) == asked
