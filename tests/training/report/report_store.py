"""Stores as the report reads them, and what a browser would make of its page."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

from tests.support.rows import audio_row, manifest_row, raw_row
from wavcaps_assets.analysis.data_sets import compare_data_sets
from wavcaps_assets.analysis.examples import sample_examples
from wavcaps_assets.analysis.licences import count_licences
from wavcaps_assets.analysis.measures import grade_raw, measure_texts
from wavcaps_assets.analysis.settings import AnalysisSettings
from wavcaps_assets.analysis.statistics import set_statistics
from wavcaps_assets.analysis.summaries import (
    count_copies,
    count_kinds,
    summarise_durations,
    summarise_readability,
    summarise_similarity,
)
from wavcaps_assets.analysis.synthetic import count_synthetic
from wavcaps_assets.analysis.vocabulary import vocabulary, words_that_change
from wavcaps_assets.sources.base import Record, Source
from wavcaps_assets.tables import AUDIO, DROPPED, MANIFEST, RAW_CLIPS, TRAINING_MANIFEST, schema_of
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage, drop
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT, Experiment
from wavcaps_training.tables import (
    CHECKPOINT,
    RETRIEVAL_SCORES,
    RETRIEVAL_SCORES_KEY,
)

HOSTILE = "<script>alert(1)</script> \"quoted\" 'too' ]]> <img src=http://evil.example/x onerror=alert(2)>"
RIGHT_TO_LEFT = "\u202eصوت المطر\u202c"


class NamedSource(Source):
    """As much of a source as the report asks of it."""

    def __init__(self, name: str, title: str) -> None:
        self.name, self.title = name, title

    def partitions(self) -> list[str]:
        return ["one", "two"]

    def records(self, network: object, partition: str) -> Iterator[Record]:
        return iter(())


SOURCES = [NamedSource("freesound", "FreeSound"), NamedSource("soundbible", "SoundBible")]


class Page(HTMLParser):
    """What a browser would make of a page: its elements, with their attributes, and its text."""

    EMPTY = frozenset({"meta", "br", "img", "link", "input", "hr", "path", "use", "rect", "svg"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.EMPTY:
            return
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data


def published_clip(number: str, caption: str, **other: Any) -> dict[str, Any]:
    about: dict[str, Any] = {"source_id": number, "caption": caption, "duration_s": 4.0, **other}
    return manifest_row(f"freesound-{number}", **about)


def fill_crawl(tables: TableStore) -> None:
    """Clips 1 to 7 in two partitions; 7 of them is listed twice, 4 has no audio."""
    for partition, numbers, repeated in (("one", (1, 2, 3), []), ("two", (4, 5, 6, 7), ["freesound-7#9"])):
        raw = RAW_CLIPS.from_rows(
            raw_row(f"freesound-{n}", title=f"Title {n}", description=f"Description {n}") for n in numbers
        )
        dropped = [drop(clip_id, "freesound", "raw_clips", "listed_twice") for clip_id in repeated]
        tables.write(["freesound", "raw_clips"], partition, Stage(raw, DROPPED.from_rows(dropped)))
        audio = [audio_row(f"freesound-{n}", duration_s=4.0, stored_bytes=1000) for n in numbers if n != 4]
        lost = [drop("freesound-4", "freesound", "audio", "not_found", "404")] if 4 in numbers else []
        tables.write(
            ["freesound", "audio"],
            partition,
            Stage(AUDIO.from_rows(audio), DROPPED.from_rows(lost)),
        )


def fill_captions(tables: TableStore) -> None:
    """Stage 1 drops 4 (for its audio) and 5, stage 2 drops 6, the manifest drops 7."""

    def write(step: str, rows: list[dict[str, Any]], dropped: list[dict[str, str | None]]) -> None:
        kept = schema_of([step]).from_rows(rows)
        tables.write([step], "freesound", Stage(kept, DROPPED.from_rows(dropped)))

    def rows(numbers: tuple[int, ...], **columns: Any) -> list[dict[str, Any]]:
        return [{"clip_id": f"freesound-{n}", "source": "freesound", **columns} for n in numbers]

    write(
        "filtered_clips",
        rows((1, 2, 3, 6, 7), tags=[], events=[]),
        [
            drop("freesound-4", "freesound", "filtered_clips", "not_found", "404"),
            drop("freesound-5", "freesound", "filtered_clips", "too_short", "0.500 s"),
        ],
    )
    write(
        "llm_captions",
        rows((1, 2, 3, 7), text="A text", caption="Rain.", model="a model", prompt_version="0", attempts=1),
        [drop("freesound-6", "freesound", "llm_captions", "failure")],
    )
    checked = {"repairs": [], "verdict": "accept", "findings": []}
    write("captions", rows((1, 2, 3, 7), text="A text", caption="Rain.", **checked), [])
    manifest = [published_clip(str(number), "Rain.") for number in (1, 2, 3)]
    write("manifest", manifest, [drop("freesound-7", "freesound", "manifest", "no_audio_yet")])
    tables.write(["wavcaps"], None, MANIFEST.from_rows(manifest))


def fill_analysis(tables: TableStore) -> None:
    """The analysis of the manifest that is there."""
    wavcaps, settings = tables.read(["wavcaps"]), AnalysisSettings()
    measures = measure_texts(wavcaps)
    crawled = {"freesound": [tables.read(["freesound", "raw_clips"])]}
    statistics = set_statistics(crawled, wavcaps)
    analysed = {
        "text_measures": measures,
        "set_statistics": statistics,
        "examples": sample_examples(wavcaps, settings.examples_per_source, settings.seed),
        "jaccard": summarise_similarity(measures),
        "readability": summarise_readability(grade_raw(crawled), measures),
        "odd_texts": count_kinds(measures),
        "durations": summarise_durations(wavcaps),
        "unique_captions": count_copies(measures, settings.often),
        "words": words_that_change(crawled, wavcaps, settings),
        "vocabulary": vocabulary(wavcaps, settings),
        "licences": count_licences(wavcaps),
        "synthetic_sounds": count_synthetic(crawled),
        "data_sets": compare_data_sets(statistics, "a model"),
    }
    for name, table in analysed.items():
        tables.write(["analysis", name], None, table)


def fill_training(
    tables: TableStore, experiment: Experiment = DEMO_EXPERIMENT, parameters: int = 1_234_567
) -> None:
    captions = ("Rain.", "Rain.", "Rain.", "Wind.", "A dog.", "Wind.", "Rain.")
    splits = ("test",) * 5 + ("train",) * 2
    manifest = [
        {
            "clip_id": f"freesound-{number}",
            "source": "freesound",
            "caption": caption,
            "other_captions": [],
            "audio_path": f"audio/{number}.flac",
            "duration_s": 4.0,
            "recording": str(number),
            "split": split,
        }
        for number, (caption, split) in enumerate(zip(captions, splits, strict=True))
    ]
    tables.write(["training_manifest"], None, TRAINING_MANIFEST.from_rows(manifest))
    epoch = {
        "train_loss": 2.0,
        "validation_loss": 2.5,
        "scores": [{"name": "recall_at_1", "value": 10.0}, {"name": "recall_at_10", "value": 50.0}],
        "learning_rate": 1e-4,
        "seconds": 3.0,
        "clips_per_second": 0.7,
    }
    checkpoint = {
        "model": experiment.model.name,
        "setting": experiment.setting,
        "weights_path": "checkpoints/trained.safetensors",
        "untrained_weights_path": "checkpoints/untrained.safetensors",
        "settings_json": '{"epochs": 2}',
        "manifest_sha256": "0",
        "parameters": parameters,
        "trainable_parameters": 1_000_000,
        "best_epoch": 2,
        "seconds": 6.0,
        "device": "cpu",
        "devices": 1,
        "flops_per_clip": 1e9,
        "utilisation": None,
        "tensorboard_path": "checkpoints/tensorboard",
        "train_clips": 2,
        "validation_clips": 1,
        "learning_curve": [{"epoch": 1, **epoch}, {"epoch": 2, **epoch}],
    }
    tables.write(experiment.key, None, CHECKPOINT.from_rows([checkpoint]))
    figures = {"trained": (20.0, 60.0, 100.0), "chance": (20.0, 100.0, 100.0)}
    scores = [
        {"model": model, "direction": direction, "metric": f"R@{k}", "value": value, "clips": 5}
        for direction in ("text_to_audio", "audio_to_text")
        for model, values in figures.items()
        for k, value in zip((1, 5, 10), values, strict=True)
    ]
    tables.write(RETRIEVAL_SCORES_KEY, None, RETRIEVAL_SCORES.from_rows(scores))
