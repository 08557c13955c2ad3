"""Names of classes: what makes two of them one, and what a text encoder reads."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.support.paths import DATA
from wavcaps_assets.benchmark_sets.benchmarks import benchmark_named
from wavcaps_assets.benchmark_sets.classes import (
    ClassNamesError,
    class_key,
    classes_named,
    classes_of,
    spoken_name,
)
from wavcaps_assets.benchmark_sets.lists import SetError
from wavcaps_assets.store.storage import Store

LISTS = DATA / "class_labels"
needs_lists = pytest.mark.skipif(
    not LISTS.exists(), reason="the real lists of classes are not here (shared/data)"
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("dog_bark", "Dog Bark"),
        ("pigeon, dove cooing", "pigeon dove cooing"),
        ("Door - wood creaks", "door_wood_creaks"),
        ("dog bow-wow", "Dog bow wow"),
        ("police car (siren)", "police car siren"),
        ("children's voices", "children\u2019s voices"),
        ("ice cream truck,ice cream van", " ice_cream truck, ice cream  van "),
        ("\uff23\uff21\uff34", "cat"),
    ],
)
def test_spellings_of_one_class(one: str, other: str) -> None:
    assert class_key(one) == class_key(other)
    with pytest.raises(ClassNamesError, match="more than one name"):
        classes_named([one, other, "something else"], "a list")


@pytest.mark.parametrize(
    ("one", "other"), [("Insects (flying)", "insects"), ("door knock", "door_wood_knock"), ("cow", "crow")]
)
def test_different_classes(one: str, other: str) -> None:
    assert class_key(one) != class_key(other)
    assert classes_named([one, other], "a list").numbers([one, other, one]) in ([0, 1, 0], [1, 0, 1])


def test_labels_find_their_class_however_they_are_written() -> None:
    classes = classes_named(["dog_bark", "playing violin, fiddle"], "a list")
    labels = ["Dog bark", "playing violin fiddle", "cat", "", None, "DOG_BARK"]
    assert classes.numbers(labels) == [0, 1, None, None, None, 0]


@pytest.mark.parametrize("labels", [["dog", "dog"], [], ["dog", "_"], ["dog", "..."]])
def test_what_is_no_list_of_classes(labels: list[str]) -> None:
    with pytest.raises(ClassNamesError, match="a list: "):
        classes_named(labels, "a list")


def test_all_listed_clips_have_candidates_also_those_of_other_splits(tmp_path: Path) -> None:
    folder = tmp_path / "sets" / "vggsound"
    folder.mkdir(parents=True)
    (folder / "vggsound.csv").write_text('---g-f_I2yQ,1,"a, b",train\n-_abcdefghi,30,dog,test\n')
    store = Store(tmp_path)
    clips = benchmark_named("vggsound").read(store).clips
    classes = classes_of(clips, "vggsound", store)
    assert (classes.labels, classes.official) == (("a, b", "dog"), 309)
    (folder / "stat.csv").write_text("dog,50,animals\ncat,50,animals\n")
    classes = classes_of(clips, "vggsound", store)
    assert classes.numbers(["a, b", "dog", "cat"]) == [None, 1, 0]
    (folder / "stat.csv").write_text("class,clips\ndog,50\n")
    with pytest.raises(SetError, match=r"stat\.csv, line 1 has 2 columns"):
        classes_of(clips, "vggsound", store)


def test_a_benchmark_of_captions_has_no_classes(tmp_path: Path) -> None:
    folder = tmp_path / "sets" / "audiocaps"
    folder.mkdir(parents=True)
    (folder / "test.csv").write_text("file_name,caption\nYabcdefghijk.wav,A dog barks\n")
    store = Store(tmp_path)
    with pytest.raises(ClassNamesError, match="no labels"):
        classes_of(benchmark_named("audiocaps").read(store).clips, "audiocaps", store)


@needs_lists
def test_the_real_lists_of_the_three_benchmarks() -> None:
    for name, file, official in (
        ("esc50", "ESC50", 50),
        ("urbansound8k", "UrbanSound8K", 10),
        ("vggsound", "VGGSound", 309),
    ):
        listed = json.loads((LISTS / f"{file}_class_labels_indices.json").read_text())
        classes = classes_named(listed, file, benchmark_named(name).official_classes)
        assert len(classes.labels) == official == classes.official
    # The list with underscores, and the one that was written for text encoders.
    spoken = json.loads((LISTS / "ESC50_class_labels_indices_space.json").read_text())
    esc50 = json.loads((LISTS / "ESC50_class_labels_indices.json").read_text())
    assert [spoken_name(label) for label in esc50] == list(spoken)
    assert classes_named(esc50, "").numbers(list(spoken)) == classes_named(esc50, "").numbers(list(esc50))


@needs_lists
def test_the_real_clips_have_a_class() -> None:
    with (DATA / "vggsound" / "stat.csv").open() as file:
        vggsound = classes_named([row[0] for row in csv.reader(file)], "stat.csv")
    with (DATA / "vggsound" / "test.csv").open() as file:
        numbers = vggsound.numbers([row[1] for row in csv.reader(file)])
    assert len(numbers) == 15_446
    assert set(numbers) == set(range(309))
    urban = classes_named(
        json.loads((LISTS / "UrbanSound8K_class_labels_indices.json").read_text()), "UrbanSound8K"
    )
    with (DATA / "urbansound8k" / "UrbanSound8K.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [urban.labels[number or 0] for number in urban.numbers([row["class_name"] for row in rows])] == [
        row["class_name"].replace("_", " ") for row in rows
    ]
    # FreeSound's titles of ESC-50 have the names of its website: three are other ones.
    esc50 = classes_named(json.loads((LISTS / "ESC50_class_labels_indices.json").read_text()), "ESC-50")
    titles = (DATA / "esc50" / "esc50_freesound_titles.jsonl").read_text().splitlines()
    found = {json.loads(line)["category"] for line in titles}
    assert {name for name in found if esc50.numbers([name]) == [None]} == {"Door knock", "Insects (flying)"}
