"""Ten days of three simulated sites: what the schedules bring home is what the sites had.

The sites alone know their truth. What is compared with it is read from the store's Parquet and FLAC files
by pyarrow and libsndfile, without our own readers.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.simulation.days import START, Simulation, configure
from tests.simulation.sites import Sites, running_sites
from tests.simulation.stepped_clock import SteppedClock
from tests.simulation.world import BBC, FREESOUND, SITES, SOUNDBIBLE, Sound, make_world
from tests.support.paths import ROOT
from wavcaps_assets.definitions import build
from wavcaps_assets.settings import Settings

SEED = int(os.environ.get("SIMULATION_SEED", "1"))
# Half of a long block of Vorbis (samples).
VORBIS_BLOCK = 1024
EVENTS_OF_LISTING = {"listed", "changed", "gone", "returned"}


def rows(store: Path, site: str, table: str) -> list[dict[str, Any]]:
    """All rows of a source's table."""
    paths = sorted((store / "tables" / site / table).glob("*.parquet"))
    return [row for path in paths if ".dropped." not in path.name for row in pq.read_table(path).to_pylist()]


def simulate(
    home: Path,
    environment: pytest.MonkeyPatch,
    seed: int,
    days: int,
    months: list[str],
    sounds: int,
    hours: tuple[int, ...],
) -> Simulation:
    print(f"SIMULATION_SEED={seed}")  # noqa: T201 - pytest shows it when the test fails
    world = make_world(seed, days, months, sounds)
    with running_sites(world) as sites:
        configure(environment, home, sites, months)
        clock = SteppedClock(START, environment)
        with dg.DagsterInstance.get() as instance:
            simulation = Simulation(sites, home / "store", clock, instance, build(Settings()))
            for day in range(days):
                simulation.run_day(day, hours)
    return simulation


def check_raw_clips(simulation: Simulation) -> None:
    """The raw tables list the sounds of the last day, as they were on that day."""
    last = simulation.sites.world.sounds[-1]
    for site in SITES:
        listed = {int(row["source_id"]): row for row in rows(simulation.store, site, "raw_clips")}
        assert listed.keys() == last[site].keys(), site
        for number, sound in last[site].items():
            row = listed[number]
            assert (row["description"], row["author"], row["licence"]) == (
                sound.text,
                sound.author,
                sound.licence,
            )
            assert site == BBC or row["title"] == sound.title
            if site == FREESOUND:
                assert (row["gen_ai_preference"], row["created"]) == (sound.preference, sound.created)


def check_ledger(simulation: Simulation) -> None:
    """The ledger has every sound that was ever listed: stored or gone, and how often it changed."""
    last = simulation.sites.world.sounds[-1]
    for site in SITES:
        events: dict[int, list[dict[str, Any]]] = {}
        for row in sorted(rows(simulation.store, site, "ledger"), key=lambda row: row["at"]):
            number = row["clip_id"].removeprefix(f"{site}-")
            if number.isdecimal():
                events.setdefault(int(number), []).append(row)
        shown = {number: states for (name, number), states in simulation.sites.listed.items() if name == site}
        assert events.keys() == shown.keys(), site
        for number, states in shown.items():
            listing = [row["event"] for row in events[number] if row["event"] in EVENTS_OF_LISTING]
            audio = [row["event"] for row in events[number] if row["event"] in {"stored", "failed"}]
            assert (listing[-1] == "gone") == (number not in last[site]), (site, number, listing)
            assert listing.count("changed") == changes_of(site, states), (site, number, listing, states)
            if number in last[site]:
                assert audio[-1] == "stored", (site, number, audio)


def changes_of(site: str, states: list[Sound]) -> int:
    """How many of the states that a site showed differ from the one before in what its protocol has."""
    shown = [
        (sound.text, sound.licence, sound.preference, site != SOUNDBIBLE and sound.take) for sound in states
    ]
    return sum(first != second for first, second in pairwise(shown))


def check_audio(simulation: Simulation) -> None:
    """The stored audio decodes to what the site has, and no complete file was sent twice."""
    for site in SITES:
        stored = {row["clip_id"]: row for row in rows(simulation.store, site, "audio")}
        sounds = simulation.sites.world.sounds[-1][site]
        assert stored.keys() == {f"{site}-{number}" for number in sounds}
        for number, sound in sounds.items():
            row = stored[f"{site}-{number}"]
            served, _ = soundfile.read(io.BytesIO(sound.audio))
            kept, rate = soundfile.read(simulation.store / row["audio_path"])
            assert rate == 32_000
            # FFmpeg and libsndfile differ in the last block of a Vorbis file.
            assert abs(len(kept) - len(served)) <= (VORBIS_BLOCK if site == FREESOUND else 0), (site, number)
            both = min(len(kept), len(served))
            assert np.abs(kept[:both] - served[:both]).max() < 2 / 32_768, (site, number)
    twice = {what: times for what, times in simulation.sites.sent.items() if times > 1}
    assert not twice


def check_colours(simulation: Simulation) -> None:
    """On a blocked day no run of the site is green and no table changes; on other days every run is green."""
    blocks = simulation.sites.world.blocks
    for run in simulation.runs:
        if (run.site, run.day) in blocks:
            assert run.colour in {"red", "paused"}, run
        else:
            assert run.colour == "green", run
    assert simulation.changed_while_blocked == []
    for site, day in blocks:
        asked = simulation.sites.blocked[site, day]
        # It was asked, and it was not hammered.
        assert 0 < asked < 60, (site, day, asked)


def check_everything(simulation: Simulation) -> None:
    check_colours(simulation)
    check_raw_clips(simulation)
    check_ledger(simulation)
    check_audio(simulation)


def summary_of(simulation: Simulation, sites: Sites) -> str:
    """What happened, for a person who reads the output."""
    colours = Counter((run.site, run.colour) for run in simulation.runs)
    return (
        f"{len(simulation.runs)} runs {dict(colours)}; {len(sites.listed)} sounds listed, "
        f"{sites.sent.total()} files sent, faults {dict(sites.faulty)}, blocks {sites.world.blocks}, "
        f"requests while blocked {dict(sites.blocked)}"
    )


@pytest.mark.slow
def test_four_days_in_a_process_of_their_own() -> None:
    # After some other tests in the same process, Dagster's times of runs are not those of the stepped clock.
    own = [
        sys.executable,
        "-m",
        "pytest",
        f"{__file__}::test_four_days_of_simulated_sites",
        "-m",
        "soak",
        "-q",
    ]
    ended = subprocess.run(own, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout[-4000:]


@pytest.mark.soak
def test_four_days_of_simulated_sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = simulate(tmp_path, monkeypatch, SEED, days=4, months=["2026-10"], sounds=5, hours=(2,))
    print(summary_of(simulation, simulation.sites))  # noqa: T201
    check_everything(simulation)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(SEED, SEED + 5))
def test_ten_days_of_simulated_sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    months = ["2026-08", "2026-09", "2026-10"]
    simulation = simulate(tmp_path, monkeypatch, seed, days=10, months=months, sounds=12, hours=(2, 10, 18))
    print(summary_of(simulation, simulation.sites))  # noqa: T201
    check_everything(simulation)
