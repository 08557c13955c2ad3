"""The automation of a team's installation, over a month that passes in minutes, until its second version.

The model is the scripted server of tests/llm, which counts what it is asked: the demo's small model has no
price, and takes minutes. Between the nights clips come and go, a site is down, the month's budget is used up,
and the prompt changes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.llm.scripted_model import KEY, MODEL, PRICES
from tests.night import screenshots
from tests.night.installation import Installation, Run, installation, serving_bucket
from tests.night.sites import CHANGED, Model, Sites, serving_sites
from tests.support.fake_clock import FakeClock, fake_clock
from tests.support.gate import Gate, gate
from tests.support.rude_server import RudeServer, answer, rude_server
from wavcaps_assets.defs.pauses import PAUSED_TAG
from wavcaps_assets.demo.clips import Corpus, DemoClip, Source
from wavcaps_assets.demo.synthesis import synthesised_corpus
from wavcaps_assets.publishing.version_diff import diff
from wavcaps_assets.tables.set_versions import TABLE, SetVersions, path_of

pytestmark = [pytest.mark.soak, pytest.mark.alone]

SOURCES = ("freesound", "bbc_sound_effects", "soundbible", "audioset_sl")
HALF_AN_HOUR = timedelta(minutes=31)
# Clips of this number and later are new in the second night; these ones are gone.
FIRST_NEW, GONE = 66, ("synthesised/004", "synthesised/005")
# For some questions of the second night: up to 4,600 USD are reserved for each, and 2,010 are spent.
BUDGET_USD, RAISED_USD = 6_000, 200_000


@pytest.fixture(scope="module")
def clock() -> Iterator[FakeClock]:
    with fake_clock(datetime(2027, 3, 5, 21, 58, tzinfo=UTC)) as made:
        yield made


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The clips of both nights."""
    return synthesised_corpus(tmp_path_factory.mktemp("corpus"), clips=72, scenes=20)


def new(clip: DemoClip) -> bool:
    kind, _, number = clip.origin.rpartition("/")
    return kind == "synthesised" and int(number) >= FIRST_NEW


@pytest.fixture(scope="module")
def sites(corpus: Corpus) -> Iterator[Sites]:
    first = corpus.model_copy(update={"clips": tuple(clip for clip in corpus.clips if not new(clip))})
    with serving_sites(first) as made:
        yield made


@pytest.fixture(scope="module")
def bbc(sites: Sites) -> Iterator[Gate]:
    """The way to the BBC's site, which has a host of its own."""
    with gate(sites.port) as made:
        yield made


@pytest.fixture(scope="module")
def people() -> Iterator[RudeServer]:
    """Gets the alerts."""
    with rude_server() as server:
        server.answers["/alerts"] = answer(b"")
        yield server


def alerts(people: RudeServer) -> list[dict[str, Any]]:
    return [json.loads(asked.body) for asked in people.asked if asked.path == "/alerts"]


@pytest.fixture(scope="module")
def team(
    tmp_path_factory: pytest.TempPathFactory,
    clock: FakeClock,
    sites: Sites,
    bbc: Gate,
    model: Model,
    people: RudeServer,
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("night")
    environment = settings(folder, sites, bbc, model) | {
        "WAVCAPS_ALERTS__WEBHOOK_URL": f"{people.url}/alerts"
    }
    with serving_bucket() as bucket, installation(folder, clock, bucket, environment) as made:
        made.start_all()
        made.switch_all_on(SOURCES)
        made.switch_on("sensors", "alerts")
        yield made


def settings(folder: Path, sites: Sites, bbc: Gate, model: Model) -> dict[str, str]:
    """The environment of the code location of the data. Each site has a host of its own."""
    (folder / "prices.toml").write_text(PRICES)
    of_bbc = f"127.0.0.1:{bbc.port}"
    return {
        "WAVCAPS_EMBEDDED_SOURCES_PORT": str(sites.port),
        "WAVCAPS_SOURCE_NAMES": ",".join(SOURCES),
        "WAVCAPS_FREESOUND__FIRST_MONTH": "2022-10",
        "WAVCAPS_BBC__API_URL": f"http://{of_bbc}/bbc",
        "WAVCAPS_BBC__MEDIA_URL": f"http://{of_bbc}/bbc-media",
        "WAVCAPS_NETWORK__PRIVATE_HOSTS": json.dumps([of_bbc]),
        "WAVCAPS_NETWORK__QUOTAS": json.dumps({of_bbc: {"per_minute": None}}),
        # Nobody sets the clock of quotas, the test neither: a pause is that long.
        "WAVCAPS_NETWORK__PAUSE_S": "60",
        "WAVCAPS_LLM__BASE_URL": f"{model.endpoint.root}/v1",
        "WAVCAPS_LLM__MODEL": MODEL,
        "WAVCAPS_LLM__API_KEY": KEY,
        "WAVCAPS_LLM__PRICES": str(folder / "prices.toml"),
        "WAVCAPS_LLM__FREE": "false",
        "WAVCAPS_LLM__BUDGET_MONTH_USD": str(RAISED_USD),
    }


def of_job(team: Installation, job: str, partition: str = "") -> list[Run]:
    return [run for run in team.runs() if run.job == job and run.partition == partition]


def published(team: Installation) -> list[str]:
    return SetVersions(team.tables().store).names()


def test_the_first_night_ends_with_a_version(
    team: Installation, sites: Sites, model: Model, people: RudeServer
) -> None:
    team.pass_time_until(lambda: len(published(team)) == 1, HALF_AN_HOUR, times=6)
    clips = team.tables().read(["wavcaps"])
    assert set(clips.column("source").to_pylist()) == set(SOURCES)
    assert {run.status for run in team.runs()} == {"SUCCESS"}
    assert not alerts(people)
    # A crawl of each partition, a run for each source, and a version.
    assert len({(run.job, run.partition) for run in team.runs()}) == len(team.runs())
    assert set(sites.sounds.values()) == set(model.asked.values()) == {1}


def test_the_second_night_pauses_where_it_has_to(
    team: Installation, sites: Sites, bbc: Gate, model: Model, corpus: Corpus
) -> None:
    prompts = team.folder / "prompts"
    prompts.mkdir()
    paper = resources.files("wavcaps_assets.captioning").joinpath("prompts", "paper.toml").read_text("utf-8")
    (prompts / "mine.toml").write_text(paper.replace("Process each individually.", CHANGED), "utf-8")
    team.assets |= {
        "WAVCAPS_PROMPTS": str(prompts),
        "WAVCAPS_PROMPT": "mine",
        "WAVCAPS_LLM__BUDGET_MONTH_USD": str(BUDGET_USD),
    }
    team.restart("assets")
    sites.show(
        corpus.model_copy(update={"clips": tuple(clip for clip in corpus.clips if clip.origin not in GONE)})
    )
    spent = model.paid_usd
    bbc.shut()
    # The catalogues are due again.
    team.pass_time(timedelta(days=30, hours=2))
    assert PAUSED_TAG in of_job(team, "crawl_bbc_sound_effects", "catalogue")[0].tags
    team.pass_time(HALF_AN_HOUR)
    paused = [run for run in team.runs() if run.job == "caption_source" and PAUSED_TAG in run.tags]
    assert paused and {run.tags[PAUSED_TAG][:10] for run in paused} == {"2027-05-01"}
    assert model.paid_usd - spent <= BUDGET_USD
    bbc.open()
    team.pass_time_until(
        lambda: PAUSED_TAG not in of_job(team, "crawl_bbc_sound_effects", "catalogue")[0].tags,
        timedelta(hours=12),
        times=4,
    )
    # What is paused waits.
    assert model.paid_usd - spent <= BUDGET_USD


def test_with_a_larger_budget_it_ends_with_the_next_version(
    team: Installation, sites: Sites, model: Model, corpus: Corpus, people: RudeServer
) -> None:
    team.assets["WAVCAPS_LLM__BUDGET_MONTH_USD"] = str(RAISED_USD)
    team.restart("assets")
    # As the page of operations says.
    for source in SOURCES:
        if (runs := of_job(team, "caption_source", source)) and PAUSED_TAG in runs[0].tags:
            team.launch("caption_source", source)
    team.settle()
    crawled_again = ("bbc_sound_effects", "soundbible", "audioset_sl")
    team.pass_time_until(lambda: _complete(team, crawled_again), timedelta(hours=13), times=6)
    names = published(team)
    versions = SetVersions(team.tables().store)
    with (
        versions.store.reading(path_of(names[0], TABLE)) as before,
        versions.store.reading(path_of(names[-1], TABLE)) as after,
    ):
        changes = diff(before, after)
    found = {
        kind: set(changes.filter(pc.equal(changes.column("change"), kind)).column("clip_id").to_pylist())
        for kind in ("added", "removed", "recaptioned")
    }
    sold = {Source.BBC, Source.SOUNDBIBLE}
    assert found["added"] == {clip.clip_id for clip in corpus.clips if new(clip) and clip.source in sold}
    assert found["removed"] == {clip.clip_id for clip in corpus.clips if clip.origin in GONE}
    why = Counter[str]()
    for name in names[1:]:
        why.update(versions.about(name).removed)
    assert why == {"gone": len(GONE)}
    kept = team.tables().read(["wavcaps"])
    again = kept.filter(pc.is_in(kept.column("source"), pa.array(crawled_again)))
    assert all(caption.startswith("There is ") for caption in again.column("caption").to_pylist())
    assert found["recaptioned"] == set(again.column("clip_id").to_pylist()) - found["added"]
    screenshots.take(team, screenshots.OF_A_NIGHT)
    received = alerts(people)
    kinds = Counter(alert["kind"] for alert in received)
    assert (kinds["budget"], kinds["outage"]) == (1, 1), received
    # The site that was down for a day is overdue, too.
    assert kinds.keys() <= {"budget", "outage", "overdue"} and kinds["overdue"] <= 1, received
    # Nothing was done twice, and no run failed.
    assert set(sites.sounds.values()) == set(model.asked.values()) == {1}
    assert {run.status for run in team.runs()} == {"SUCCESS"}


def _complete(team: Installation, crawled_again: tuple[str, ...]) -> bool:
    """Whether the set has the new prompt's captions of all sources that were crawled again."""
    clips = team.tables().read(["wavcaps"])
    of_those = clips.filter(pc.is_in(clips.column("source"), pa.array(crawled_again)))
    return all(caption.startswith("There is ") for caption in of_those.column("caption").to_pylist())
