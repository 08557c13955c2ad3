"""What the tests share: a model, and an installation for the faults.

Each test of a fault finds the installation whole, makes the fault, and leaves it whole.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from tests.night.installation import Installation, installation, serving_bucket
from tests.night.sites import Model, Sites, serving_model, serving_sites
from tests.support.fake_clock import fake_clock
from wavcaps_assets.demo.clips import Corpus, DemoClip
from wavcaps_assets.demo.synthesis import synthesised_corpus

MONTHS = ("2022-10", "2022-11")
CRAWL = ("raw_clips", "audio", "ledger")
# New clips of each source for a test: one of each month of FreeSound's.
NEW_CLIPS = 3


@dataclass
class Plant:
    """A team's installation without the training, and the sites.

    Attributes:
        team: its services.
        sites: the demo's sources. Each call of `new_clips` shows more of their clips.
    """

    team: Installation
    sites: Sites
    _corpus: Corpus
    _calls: int = 0

    def new_clips(self) -> None:
        """Shows some clips more of each source; of FreeSound one more of each month."""
        self._calls += 1
        most = NEW_CLIPS * self._calls
        per_source: dict[str, list[DemoClip]] = {}
        for clip in self._corpus.clips:
            per_source.setdefault(clip.source, []).append(clip)
        shown = [clip for clips in per_source.values() for clip in _months_in_turn(clips)[:most]]
        assert max(map(len, per_source.values())) >= most, "make the corpus larger"
        self.sites.show(self._corpus.model_copy(update={"clips": tuple(shown)}))

    def require_each_sound_once(self, source: str, partitions: tuple[str, ...]) -> None:
        """Every listed sound is stored, and none was sent twice."""
        assert set(self.sites.sounds.values()) == {1}
        tables = self.team.tables()
        for partition in partitions:
            clips = tables.read([source, "raw_clips"], [partition]).column("clip_id").to_pylist()
            audio = tables.read([source, "audio"], [partition]).column("clip_id").to_pylist()
            gone = tables.read_dropped([source, "audio"]).column("clip_id").to_pylist()
            assert clips and set(clips) == set(audio) | (set(gone) & set(clips))


def _months_in_turn(clips: list[DemoClip]) -> list[DemoClip]:
    """The first clip of each month, then the second of each, and so on."""
    seen: Counter[str] = Counter()
    ranks: dict[str, int] = {}
    for clip in clips:
        ranks[clip.source_id] = seen[clip.created[:7]]
        seen[clip.created[:7]] += 1
    return sorted(clips, key=lambda clip: (ranks[clip.source_id], clip.created[:7]))


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    """The model of a night."""
    with serving_model() as made:
        yield made


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    corpus = synthesised_corpus(tmp_path_factory.mktemp("corpus"), clips=150, scenes=6)
    folder = tmp_path_factory.mktemp("plant")
    with (
        fake_clock(datetime(2027, 3, 1, 21, 58, tzinfo=UTC)) as clock,
        serving_sites(corpus) as sites,
        serving_bucket() as bucket,
    ):
        environment = {"WAVCAPS_EMBEDDED_SOURCES_PORT": str(sites.port)}
        with installation(folder, clock, bucket, environment, trains=False) as team:
            team.contained = os.geteuid() == 0
            made = Plant(team, sites, corpus)
            made.new_clips()
            team.start_all()
            yield made
