"""Two machines share a bucket and nothing else: each has its own services, Postgres, disk, and automation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from tests.night import screenshots
from tests.night.installation import Installation, installation, serving_bucket
from tests.night.sites import Model, Sites, serving_sites
from tests.night.test_two_nights import SOURCES, published, settings
from tests.support.fake_clock import FakeClock, fake_clock
from tests.support.gate import gate
from wavcaps_assets.demo.synthesis import synthesised_corpus

pytestmark = [pytest.mark.soak, pytest.mark.alone]

# To the host of three of the sources.
PER_MINUTE = 40


@pytest.fixture(scope="module")
def clock() -> Iterator[FakeClock]:
    with fake_clock(datetime(2027, 3, 1, 21, 58, tzinfo=UTC)) as made:
        yield made


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    with serving_sites(synthesised_corpus(tmp_path_factory.mktemp("corpus"), clips=66, scenes=20)) as made:
        yield made


@pytest.fixture(scope="module")
def machines(
    tmp_path_factory: pytest.TempPathFactory, clock: FakeClock, sites: Sites, model: Model
) -> Iterator[list[Installation]]:
    with serving_bucket() as bucket, gate(sites.port) as bbc, ExitStack() as stack:
        made = []
        for name in ("one", "other"):
            folder = tmp_path_factory.mktemp(name)
            environment = settings(folder, sites, bbc, model)
            quotas = json.loads(environment["WAVCAPS_NETWORK__QUOTAS"])
            quotas[f"127.0.0.1:{sites.port}"] = {"per_minute": PER_MINUTE}
            environment["WAVCAPS_NETWORK__QUOTAS"] = json.dumps(quotas)
            machine = stack.enter_context(installation(folder, clock, bucket, environment, trains=False))
            machine.start_all()
            machine.switch_all_on(SOURCES)
            made.append(machine)
        yield made


def test_a_night_of_both_does_nothing_twice(
    machines: list[Installation], clock: FakeClock, sites: Sites, model: Model
) -> None:
    def done() -> bool:
        tables = machines[0].tables()
        return bool(published(machines[0])) and set(tables.sources_of(["wavcaps"])) == set(SOURCES)

    for _ in range(8):
        before = clock.now()
        clock.move(timedelta(minutes=31))
        for machine in machines:
            machine.catch_up(before)
        if done():
            break
    assert done(), [(run.job, run.partition, run.status) for one in machines for run in one.runs()]
    for name, machine in zip(("one", "other"), machines, strict=True):
        screenshots.take(machine, {f"{name}_machine_runs": "/runs", f"{name}_machine_set": "/assets/wavcaps"})
    assert set(sites.sounds.values()) == {1}
    assert set(model.asked.values()) == {1}
    assert sites.most_in(60) <= PER_MINUTE
    clips = machines[1].tables().read(["wavcaps"]).column("clip_id").to_pylist()
    assert len(clips) == len(set(clips)) > 0
    statuses = {run.status for machine in machines for run in machine.runs()}
    assert statuses == {"SUCCESS"}
