"""A host that stops responding while the last clips are fetched: nothing is recorded against the clips."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from tests.audio.fetching import PARTITION, Fetching, reasons, wav
from tests.simulation.stepped_clock import SteppedClock
from tests.support.rude_server import answer, in_turn, rude_server
from wavcaps_assets.audio.host_health import NoAudio
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.crawl.history import History
from wavcaps_assets.network.errors import HostDown
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

ONE_BY_ONE = FetchSettings(workers=1)
DOWN = answer(status="503 Busy")
GOOD = [f"/good-{number}.wav" for number in range(8)]


def fetched(fetching: Fetching, clips: pa.Table) -> Counter[str]:
    stage = fetching.fetch(clips, fetch=ONE_BY_ONE, failures_in_a_row=5)
    return Counter({"stored": stage.kept.num_rows, **Counter(reasons(stage).values())})


@pytest.mark.slow
@pytest.mark.parametrize("left", [1, 6])
def test_clips_that_were_left_when_the_host_went_down_are_fetched_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    clock = SteppedClock(datetime(2026, 11, 1, tzinfo=UTC), monkeypatch)
    paths = [*GOOD, *(f"/left-{number}.wav" for number in range(left))]
    with rude_server() as server:
        # The host goes down after the last good clip.
        server.answers.update(dict.fromkeys(GOOD, in_turn(answer(wav()), DOWN)))
        server.answers.update(dict.fromkeys(paths[len(GOOD) :], DOWN))
        fetching = Fetching(server, TableStore(Store(tmp_path / "store")), tmp_path)
        clips = fetching.clips(paths)
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(HostDown):
            fetched(fetching, clips)
    # Connections are refused now, longer than a clip is tried in one fetch.
    for _ in range(5):
        clock.set(clock.now() + timedelta(hours=1))
        with pytest.raises(HostDown):
            fetched(fetching, clips)
    clock.set(clock.now() + timedelta(hours=1))
    with rude_server(port) as server:
        server.answers.update(dict.fromkeys(paths, answer(wav())))
        assert fetched(fetching, clips) == {"stored": len(paths)}
        # One stored clip shows that the host is back.
        assert len([asked for asked in server.asked if asked.path in GOOD]) <= 1


@pytest.mark.slow
def test_clips_that_fail_while_others_can_be_downloaded_are_at_fault(fetching: Fetching) -> None:
    dead = [f"/dead-{number}.wav" for number in range(6)]
    fetching.server.answers.update(dict.fromkeys(GOOD, answer(wav())))
    fetching.server.answers.update(dict.fromkeys(dead, DOWN))
    clips = fetching.clips([*GOOD, *dead])
    pauses = 0
    while True:
        try:
            assert fetched(fetching, clips) == {"stored": 8, "download_failed": 6}
            break
        except HostDown:
            pauses += 1
            (fetching.folder / "state" / "quotas.sqlite").unlink()
    # The clips are tried three times, five failures at a time.
    assert pauses <= 4
    assert fetching.server.times("/dead-0.wav") <= 4 * 2


@pytest.mark.slow
def test_a_source_whose_clips_are_all_gone_ends_with_an_error(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SteppedClock(datetime(2026, 11, 1, tzinfo=UTC), monkeypatch)
    paths = [f"/{number}.wav" for number in range(8)]
    clips = fetching.clips(paths)
    for day in range(1, 4):
        clock.set(datetime(2026, 11, day, 1, tzinfo=UTC))
        with pytest.raises(HostDown):
            fetching.fetch(clips)
    for day in (4, 5):
        clock.set(datetime(2026, 11, day, 1, tzinfo=UTC))
        with pytest.raises(NoAudio, match=r"audio_gone: 8.*has its audio moved.*Nothing is recorded"):
            fetching.fetch(clips)
    fetching.server.answers.update(dict.fromkeys(paths[:1], answer(wav())))
    with History(fetching.tables.store, "freesound", PARTITION) as history:
        assert "stored" not in {event["event"] for event in history}
    # A new outage after a success begins with pauses again.
    with pytest.raises(HostDown):
        fetching.fetch(fetching.clips([*paths, *(f"/more-{number}.wav" for number in range(20))]))
    fetching.server.answers.update(dict.fromkeys(paths, answer(wav())))
    assert fetching.fetch(clips).kept.num_rows == 8
