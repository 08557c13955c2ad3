"""The README's figures of the demo are those of its sources, and of a store in which it ran."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from wavcaps_assets.demo.clips import Corpus, Source
from wavcaps_assets.demo.corpus import prepare_corpus
from wavcaps_assets.demo.readme import BEGIN, END, as_markdown, replaced
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

README = (ROOT / "README.md").read_text(encoding="utf-8")
SCENES = inspect.signature(prepare_corpus).parameters["scenes"].default
FIGURES = re.compile(
    r"- (?P<records>[\d,]+) records, of which (?P<published>[\d,]+) are published with a caption\n"
    r"- (?P<template>[\d,]+) captions by the template for AudioSet's labels, "
    r"(?P<model>[\d,]+) by the language model\n"
    r"- R@10, text to audio: (?P<recall>[\d.]+)(?: ± [\d.]+)? %"
    r"(?:, the mean of \d+ seeds \(95 % interval [\d.]+ to [\d.]+\),)? on (?P<clips>[\d,]+) test clips; "
    r"by chance (?P<chance>[\d.]+) %\n"
    r"- R@10, audio to text: .*"
)


def figures_of(paragraph: str) -> dict[str, float]:
    found = FIGURES.fullmatch(paragraph.strip())
    assert found, paragraph
    return {name: float(value.replace(",", "")) for name, value in found.groupdict().items()}


def in_readme() -> dict[str, float]:
    return figures_of(README.partition(BEGIN)[2].partition(END)[0])


def test_figures_are_replaced_and_the_rest_stays() -> None:
    page = f"Before\n{BEGIN}\n\n- old\n\n{END}\nAfter\n"
    new = replaced(page, "- new")
    assert new == f"Before\n{BEGIN}\n\n- new\n\n{END}\nAfter\n"
    assert replaced(new, "- new") == new


@pytest.mark.slow
def test_the_readme_counts_the_records_of_the_sources(real_corpus: Corpus) -> None:
    figures = in_readme()
    real = [c for c in real_corpus.clips if c.source is not Source.AUDIOSET and not c.made_for_demo]
    others = sum(clip.source is not Source.AUDIOSET for clip in real_corpus.clips)
    assert f"{len(real)} clips with the texts" in README.replace("\n", " ")
    assert f"{SCENES} ten-second scenes" in README.replace("\n", " ")
    assert figures["records"] == others + SCENES
    # Every scene has labels, so the template makes a sentence of each.
    assert figures["template"] == SCENES
    assert figures["published"] == figures["template"] + figures["model"] <= figures["records"]
    assert figures["chance"] == pytest.approx(100 * 10 / figures["clips"], abs=0.05)


@pytest.mark.soak
def test_the_readme_has_the_figures_of_the_demo(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wavcaps_assets.cli", "demo", "--home", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    made = figures_of(as_markdown(TableStore(Store(str(tmp_path / "store")))))
    written = in_readme()
    assert f"{made['published']:,.0f} clips with a caption" in done.stdout
    assert {name: made[name] for name in ("records", "template")} == {
        name: written[name] for name in ("records", "template")
    }
    # Another processor rounds differently: some answers, and the weights, are others.
    assert made["model"] == pytest.approx(written["model"], rel=0.1)
    assert made["recall"] > made["chance"] and written["recall"] > written["chance"]
    # As `make demo-sound` does.
    done = subprocess.run([*command, "--sound"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    tables = TableStore(Store(str(tmp_path / "store")))
    sounds = tables.read(["generated_sounds", "audioldm", "demo"]).to_pylist()
    report = (tmp_path / "store" / "report.html").read_text(encoding="utf-8")
    assert len(sounds) == 4 and all(sound["text"] in report for sound in sounds)
