"""What the web UI marks as out of date: real runs of a lane, and the resolver that the web UI asks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from wavcaps_assets.captioning.prompts import prompt_files
from wavcaps_assets.definitions import build
from wavcaps_assets.demo.clips import Corpus
from wavcaps_assets.demo.server import running_server
from wavcaps_assets.demo.synthesis import synthesised_corpus
from wavcaps_assets.settings import Settings

PARTITION = "catalogue"
CRAWLED = ("raw_clips", "audio", "ledger")
CAPTIONED = ("filtered_clips", "llm_captions", "captions", "manifest")
# Captions are made by rules, so no model is asked.
CONFIG = {"llm_captions": {"config": {"method": "rules"}}, "captions": {"config": {"second_questions": 0}}}


class Lane:
    """An instance in memory, and the demo's sources with whatever clips they have now."""

    def __init__(self, instance: dg.DagsterInstance, corpus: Corpus, sources: ExitStack) -> None:
        self._instance = instance
        self._corpus = corpus
        self._sources = sources
        self._location = build(Settings())

    def reload(self) -> None:
        """Loads the code location again, as a person does in the web UI after an edit."""
        self._location = build(Settings())

    def serve(self, **changes: str) -> None:
        """Starts the sources again. One clip of SoundBible has these changes."""
        self._sources.close()
        clips = list(self._corpus.clips)
        place = next(place for place, clip in enumerate(clips) if clip.source == "soundbible")
        clips[place] = clips[place].model_copy(update=changes)
        corpus = self._corpus.model_copy(update={"clips": tuple(clips)})
        self._sources.enter_context(running_server(corpus, Settings().embedded_sources_port))

    def materialize(self, *keys: str, partition: str | None = None) -> None:
        job = self._location.resolve_implicit_global_asset_job_def()
        selected = {dg.AssetKey(key.split("/")) for key in keys}
        part = job.get_subset(asset_selection=selected, asset_check_selection=set())
        config = {"ops": {name: CONFIG[name] for name in keys if name in CONFIG}}
        assert part.execute_in_process(config, instance=self._instance, partition_key=partition).success

    def crawl(self, source: str) -> None:
        self.materialize(*(f"{source}/{name}" for name in CRAWLED), partition=PARTITION)

    def stale(self) -> dict[str, str]:
        """What is out of date, and why, as the page of each asset or partition says it."""
        graph = self._location.resolve_asset_graph()
        resolver = CachingStaleStatusResolver(self._instance, graph, LoadingContextForTest(self._instance))
        found = {}
        for key in graph.materializable_asset_keys:
            partitions = graph.get(key).partitions_def
            for partition in [None] if partitions is None else partitions.get_partition_keys():
                if resolver.get_status(key, partition) is StaleStatus.STALE:
                    causes = {cause.category.value for cause in resolver.get_stale_causes(key, partition)}
                    name = key.to_user_string() + (f"[{partition}]" if partition else "")
                    found[name] = " ".join(sorted(causes))
        return found


@pytest.fixture
def lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lane]:
    (tmp_path / "prompts").mkdir()
    mine = prompt_files()["paper"].read_text(encoding="utf-8")
    (tmp_path / "prompts" / "mine.toml").write_text(mine, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("WAVCAPS_PROMPTS", str(tmp_path / "prompts"))
    monkeypatch.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", str(port))
    corpus = synthesised_corpus(tmp_path / "corpus", clips=18, scenes=2)
    with dg.DagsterInstance.ephemeral() as instance, ExitStack() as sources:
        lane = Lane(instance, corpus, sources)
        lane.serve()
        yield lane


@pytest.mark.slow
def test_only_what_newer_data_or_newer_code_would_change_is_marked(lane: Lane, tmp_path: Path) -> None:
    for source in ("soundbible", "bbc_sound_effects"):
        lane.crawl(source)
    lane.materialize(*CAPTIONED, partition="soundbible")
    lane.materialize("filtered_clips", "llm_captions", partition="bbc_sound_effects")
    lane.materialize("llm_costs")
    assert lane.stale() == {}

    # The same data again.
    lane.crawl("soundbible")
    lane.materialize("filtered_clips", partition="soundbible")
    assert lane.stale() == {}

    # A changed record marks what is made from it, of this source only, stage by stage.
    lane.serve(text="A heavy wooden door closes slowly and its old hinges creak in a quiet hall.")
    lane.materialize("soundbible/raw_clips", partition=PARTITION)
    made_from_clips = {"filtered_clips[soundbible]": "DATA", "manifest[soundbible]": "DATA"}
    crawled = {f"soundbible/{name}[{PARTITION}]": "DATA" for name in ("audio", "ledger")}
    assert lane.stale() == made_from_clips | crawled
    # Its audio is the same.
    lane.materialize("soundbible/audio", "soundbible/ledger", partition=PARTITION)
    assert lane.stale() == made_from_clips
    lane.materialize("filtered_clips", partition="soundbible")
    assert lane.stale() == {"llm_captions[soundbible]": "DATA", "manifest[soundbible]": "DATA"}
    lane.materialize("llm_captions", "captions", "manifest", partition="soundbible")
    assert lane.stale() == {"llm_costs": "DATA"}

    # A comment in a prompt marks nothing. Other words mark the stages that read prompts, of all sources.
    mine = tmp_path / "prompts" / "mine.toml"
    mine.write_text(f"# Mine.\n{mine.read_text()}")
    lane.reload()
    assert lane.stale() == {"llm_costs": "DATA"}
    mine.write_text(mine.read_text().replace('text = """', 'text = """Please. '))
    lane.reload()
    marked = {"captions[soundbible]", "llm_captions[soundbible]", "llm_captions[bbc_sound_effects]"}
    assert lane.stale() == {"llm_costs": "DATA", **dict.fromkeys(marked, "CODE")}
    # Captions by rules use no prompt: they are the same, and nothing else is marked.
    lane.materialize("llm_captions", partition="bbc_sound_effects")
    marked.remove("llm_captions[bbc_sound_effects]")
    assert lane.stale() == {"llm_costs": "DATA", **dict.fromkeys(marked, "CODE")}
