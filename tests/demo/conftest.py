"""A tiny synthesised corpus behind a real server, and the real corpus where apt can fetch it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from wavcaps_assets.demo.clips import Corpus
from wavcaps_assets.demo.corpus import prepare_corpus
from wavcaps_assets.demo.server import Limits, running_server
from wavcaps_assets.demo.synthesis import synthesised_corpus

CLIPS, SCENES = 42, 14
WINDOW = 6


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return synthesised_corpus(tmp_path_factory.mktemp("corpus"), clips=CLIPS, scenes=SCENES)


@pytest.fixture(scope="session")
def client(corpus: Corpus) -> Iterator[httpx.Client]:
    with (
        running_server(corpus, limits=Limits(bbc_result_window=WINDOW)) as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def real_corpus(request: pytest.FixtureRequest) -> Corpus:
    """The corpus of Debian's packages, fetched once and kept in pytest's own cache."""
    made = prepare_corpus(Path(request.config.cache.mkdir("demo-corpus")), scenes=60)
    if made.synthesised:
        pytest.skip(f"the real corpus cannot be had here: {made.reason}")
    return made
