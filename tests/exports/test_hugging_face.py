"""The export for Hugging Face `datasets`, read by `datasets`, `mlcroissant` and rdflib themselves."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import soundfile
import yaml

from tests.exports.sets import NOW, publish
from wavcaps_assets.exports.export import Export, export
from wavcaps_assets.exports.exported_set import open_set
from wavcaps_assets.exports.formats.hugging_face import FORMAT, HuggingFaceSettings
from wavcaps_assets.exports.usage_policies import ANY_USE, TERMS
from wavcaps_assets.slices.licence_classes import BY_NAME
from wavcaps_assets.slices.select import EmptySlice
from wavcaps_assets.store.storage import Store

SECONDS = 18.0
FREE = "no-additional-preferences"
EVENTS = [
    {"onset_s": 0.0, "offset_s": 0.2, "label": "Dog"},
    {"onset_s": 0.1, "offset_s": 0.4, "label": "Cat"},
]
OTHERS = [{"text": "Barking.", "kind": "short", "model": "m", "prompt_version": "9"}]
HOSTILE = "He said \"hi\", 'there'\r\nand\n left\x00 | <b>\\ 🐕 "
CLIPS: list[dict[str, Any]] = [
    {"clip_id": "freesound-1", "caption": HOSTILE, "licence_id": "CC-BY-4.0", "gen_ai_preference": FREE},
    {"clip_id": "freesound-2", "model": "gpt/4 o", "licence_id": "CC-BY-NC-4.0", "gen_ai_preference": FREE},
    {"clip_id": "freesound-3", "tags": ["a", "b"], "synthetic": True, "gen_ai_preference": "no-gen-ai"},
    {
        "clip_id": "audioset_sl-../x",
        "source": "audioset_sl",
        "events": EVENTS,
        "licence_id": "LicenseRef-unknown",
        "other_captions": OTHERS,
    },
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Export:
    store = Store(tmp_path_factory.mktemp("store"))
    # Each clip is larger than a file may be.
    whole = publish(store, CLIPS, SECONDS)
    settings = HuggingFaceSettings(shard_mb=1)
    return export(whole, FORMAT, settings, NOW)


@pytest.fixture
def folder(exported: Export) -> Path:
    return exported.store.path(exported.folder)


@pytest.mark.slow
def test_datasets_reads_equal_rows(folder: Path, tmp_path: Path) -> None:
    import datasets

    clips = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path))
    assert isinstance(clips.features["audio"], datasets.Audio)
    assert clips.features["audio"].sampling_rate == 32_000
    rows = {row["clip_id"]: row for row in clips.cast_column("audio", datasets.Audio(decode=False))}
    assert rows.keys() == {clip["clip_id"] for clip in CLIPS}
    for clip in CLIPS:
        row = rows[clip["clip_id"]]
        assert {name: row[name] for name in clip} == clip
        samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
        assert rate == 32_000 and len(samples) == SECONDS * 32_000
        assert row["audio"]["path"].endswith(".flac") and "/" not in row["audio"]["path"]
    assert rows["freesound-1"]["other_captions"] is None and rows["freesound-1"]["events"] == []


@pytest.mark.slow
def test_datasets_does_not_take_one_export_for_another(tmp_path: Path) -> None:
    """All have one folder name, and the same number of clips."""
    import datasets

    for caption in ("A dog barks.", "A cat purrs."):
        whole = publish(Store(tmp_path / "store"), [{"clip_id": "freesound-1", "caption": caption}], 0.1)
        done = export(whole, FORMAT, HuggingFaceSettings(), NOW)
        place = str(done.store.path(done.folder))
        read = datasets.load_dataset(place, split="train", cache_dir=str(tmp_path / "cache"))
        assert read["caption"][0] == caption


def test_the_card_has_the_figures_of_the_export(folder: Path) -> None:
    _, about, page = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    front = yaml.safe_load(about)
    assert front["license"] == "other" and front["size_categories"] == ["n<1K"]
    (files,) = front["configs"][0]["data_files"]
    parquet = [*folder.glob(files["path"])]
    assert len(parquet) == 4
    (split,) = front["dataset_info"]["splits"]
    assert (split["num_examples"], split["num_bytes"]) == (4, sum(file.stat().st_size for file in parquet))
    assert "4 sounds with captions (0.02 hours)" in page and "1 sounds are AI-made" in page
    assert "| attribution | CC-BY-4.0 | 1 |" in page and "| freesound | 3 | 0.01 |" in page
    assert "| gpt/4 o | 1 | 1 |" in page


def test_the_features_are_written_as_old_readers_know_them(folder: Path) -> None:
    files = sorted((folder / "data").iterdir())
    assert len(files) == 4
    info = json.loads(pq.read_schema(files[0]).metadata[b"huggingface"])["info"]["features"]
    assert info["audio"] == {"sampling_rate": 32_000, "_type": "Audio"}
    assert info["tags"] == {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"}
    assert info["events"] == [
        {
            "onset_s": {"dtype": "float64", "_type": "Value"},
            "offset_s": {"dtype": "float64", "_type": "Value"},
            "label": {"dtype": "string", "_type": "Value"},
        }
    ]


@pytest.mark.slow
def test_the_official_validator_accepts_the_metadata_and_reads_records(folder: Path) -> None:
    import mlcroissant

    dataset = mlcroissant.Dataset(folder / "croissant.json")
    issues = dataset.metadata.ctx.issues
    assert not issues.errors and not issues.warnings
    assert dataset.metadata.ctx.is_v1_1()
    # It gives texts as UTF-8.
    rows = {row["clips/clip_id"].decode(): row for row in dataset.records("clips")}
    assert rows.keys() == {clip["clip_id"] for clip in CLIPS}
    for clip in CLIPS:
        row = rows[clip["clip_id"]]
        assert row["clips/caption"].decode() == clip.get("caption", "A dog barks.")
        assert [tag.decode() for tag in row["clips/tags"]] == clip.get("tags", [])
        assert row["clips/synthetic"] == clip.get("synthetic")
        assert soundfile.info(io.BytesIO(row["clips/audio"])).samplerate == 32_000
    last = rows["audioset_sl-../x"]
    labels = [event["clips/events/label"].decode() for event in last["clips/events"]]
    assert labels == ["Dog", "Cat"]
    (other,) = last["clips/other_captions"]
    assert other["clips/other_captions/text"].decode() == "Barking."


def test_every_file_of_the_metadata_has_its_sha256(folder: Path) -> None:
    files = [
        one
        for one in json.loads((folder / "croissant.json").read_bytes())["distribution"]
        if one["@type"] == "cr:FileObject"
    ]
    assert [one["contentUrl"] for one in files] == [f"data/train-0000{n}-of-00004.parquet" for n in range(4)]
    for one in files:
        assert hashlib.sha256((folder / one["contentUrl"]).read_bytes()).hexdigest() == one["sha256"]


def graph_of(folder: Path) -> Any:
    import rdflib

    graph = rdflib.Graph()
    return graph.parse(folder / "croissant.json", format="json-ld", publicID="https://example.org/set/")


def test_which_model_wrote_the_captions(folder: Path) -> None:
    question = """
        prefix prov: <http://www.w3.org/ns/prov#>
        prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#>
        prefix sc: <https://schema.org/>
        select ?model ?prompt where {
            <https://example.org/set/clips/caption> prov:wasGeneratedBy ?activity .
            ?activity prov:wasAssociatedWith ?agent ; prov:used ?plan .
            ?agent a prov:SoftwareAgent ; rdfs:label ?model .
            ?plan a prov:Plan ; sc:version ?prompt .
        }"""
    found = {(str(row.model), str(row.prompt)) for row in graph_of(folder).query(question)}
    assert found == {("gpt/4 o", "1"), ("test", "1")}


def test_a_model_and_a_licence_are_found_by_their_names(folder: Path) -> None:
    question = """
        prefix odrl: <http://www.w3.org/ns/odrl/2/>
        prefix prov: <http://www.w3.org/ns/prov#>
        prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#>
        ask {
            ?agent a prov:SoftwareAgent ; rdfs:label "gpt/4 o" .
            ?activity prov:wasAssociatedWith ?agent ; prov:used/<https://schema.org/version> "1" .
            ?policy odrl:target/odrl:refinement/odrl:rightOperand "CC-BY-4.0" ;
                odrl:permission/odrl:duty/odrl:action <http://creativecommons.org/ns#Attribution> .
            ?wish odrl:target/odrl:refinement/odrl:rightOperand "no-gen-ai" ;
                odrl:prohibition/odrl:action odrl:use .
        }"""
    assert graph_of(folder).query(question).askAnswer


def test_every_class_of_licences_has_terms() -> None:
    assert TERMS.keys() == BY_NAME.keys()
    for name, terms in TERMS.items():
        assert bool(terms.purposes) == bool(BY_NAME[name].uses)
        # What may be sold is not restricted to a purpose.
        assert "commercial" not in BY_NAME[name].uses or terms.purposes == (ANY_USE,)


def test_which_policy_governs_which_licence(folder: Path) -> None:
    question = """
        prefix odrl: <http://www.w3.org/ns/odrl/2/>
        select ?policy ?licence ?purpose where {
            ?dataset <https://schema.org/usageInfo> ?policy .
            ?policy a odrl:Offer ; odrl:target/odrl:refinement ?rows .
            ?rows odrl:leftOperand <https://example.org/set/clips/licence_id> ; odrl:rightOperand ?licence .
            optional { ?policy odrl:permission/odrl:constraint/odrl:rightOperand ?purpose }
        }"""
    short = {"https://example.org/set/policies/": "", "http://purl.obolibrary.org/obo/": ""}

    def name(value: Any) -> str | None:
        text = str(value) if value is not None else None
        for prefix in short:
            text = text and text.removeprefix(prefix)
        return text

    found = {
        (name(row.policy), str(row.licence), name(row.purpose)) for row in graph_of(folder).query(question)
    }
    assert found == {
        ("attribution", "CC-BY-4.0", "DUO_0000004"),
        ("non_commercial", "CC-BY-NC-4.0", "DUO_0000046"),
        ("public_domain", "CC0-1.0", "DUO_0000004"),
        ("unknown", "LicenseRef-unknown", None),
    }


def test_a_slice_is_exported_and_an_empty_one_is_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store, CLIPS)
    done = export(open_set(store, use="commercial"), FORMAT, HuggingFaceSettings(), NOW)
    assert done.description.clips == 1 and done.folder.endswith("-commercial/hugging_face")
    assert "freesound-2" not in store.read_bytes(f"{done.folder}/attributions.csv").decode()
    publish(store, CLIPS[3:])
    with pytest.raises(EmptySlice, match="none of 1 clips"):
        open_set(store, use="commercial")
