"""Croissant 1.1 metadata of an export (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html).

Besides files and fields, it says in PROV-O which model wrote the captions by which version of the prompt, and
in ODRL with terms of DUO which conditions each class of licence has. Both can be asked for
with SPARQL.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.crawl.licences import normalise_licence
from wavcaps_assets.exports.description import ExportedFile
from wavcaps_assets.exports.exported_set import ExportedSet
from wavcaps_assets.exports.usage_policies import policies
from wavcaps_assets.show.text import shown

CROISSANT = "croissant.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
RECORDS = "clips"
FILES = "parquet-files"
PAPER = "https://arxiv.org/abs/2303.17395"
CITATION = (
    "@article{mei2023wavcaps, title={WavCaps: A ChatGPT-Assisted Weakly-Labelled Audio Captioning Dataset "
    "for Audio-Language Multimodal Research}, author={Mei, Xinhao and others}, year={2023}, "
    "eprint={2303.17395}}"
)
# The specification's context, with the vocabularies of provenance and of conditions.
CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "annotation": "cr:annotation",
    "arrayShape": "cr:arrayShape",
    "cc": "http://creativecommons.org/ns#",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "excludes": "cr:excludes",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "readLines": "cr:readLines",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "sdVersion": "cr:sdVersion",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
    "unArchive": "cr:unArchive",
    "value": "cr:value",
}
DATA_TYPES = {"string": "sc:Text", "double": "sc:Float", "bool": "sc:Boolean"}


def describe(
    exported: ExportedSet, clips: pa.Table, files: Sequence[ExportedFile], columns: pa.Schema, url: str
) -> bytes:
    """The metadata of Parquet files, as JSON-LD.

    Args:
        clips: those of the export, `tables.MANIFEST`.
        files: the Parquet files, in the folder `data`.
        columns: their columns, `audio` first, with descriptions.
        url: where the export is published.
    """
    licences = pc.unique(clips.column("licence_id")).sort().to_pylist()
    document = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "@id": f"urn:wavcaps:{exported.name}",
        "name": f"WavCaps, re-created: {exported.name}",
        "description": f"{len(clips):,} sounds with captions that a language model wrote from the texts of "
        "their uploaders. Weak labels.",
        "conformsTo": CONFORMS_TO,
        "citeAs": CITATION,
        "creator": {"@type": "sc:Organization", "name": "WavCaps on Dagster"},
        "datePublished": f"{exported.version.created:%Y-%m-%d}",
        "isLiveDataset": False,
        "keywords": ["audio captioning", "sound"],
        "license": [normalise_licence(licence).url or licence for licence in licences],
        "url": url,
        "version": f"{exported.version.number}.0.0",
        "usageInfo": policies(clips, RECORDS),
        "prov:wasDerivedFrom": [
            _labelled(f"urn:wavcaps:source:{quote(source, safe='')}", "prov:Entity", source)
            for source in pc.unique(clips.column("source")).sort().to_pylist()
        ],
        "prov:wasGeneratedBy": {
            **_labelled(
                f"urn:wavcaps:run:{quote(exported.version.run_id, safe='')}", "prov:Activity", "publish"
            ),
            "prov:endedAtTime": {
                "@type": "http://www.w3.org/2001/XMLSchema#dateTime",
                "@value": exported.version.created.isoformat(),
            },
        },
        "distribution": [*(_file(file) for file in files), _file_set()],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": RECORDS,
                "name": RECORDS,
                "description": "One record for each clip.",
                "key": {"@id": f"{RECORDS}/clip_id"},
                "field": [
                    _of_audio(),
                    *(_field(column) | _provenance(column.name, clips) for column in [*columns][1:]),
                ],
            }
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def _file(file: ExportedFile) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "description": "Clips with their audio.",
        "contentUrl": file.name,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": "application/x-parquet",
        "sha256": file.sha256,
    }


def _file_set() -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": FILES,
        "name": FILES,
        "description": "All Parquet files.",
        "encodingFormat": "application/x-parquet",
        "includes": "data/*.parquet",
    }


def _source(column: str, json_path: str = "") -> dict[str, Any]:
    transform = {"transform": {"jsonPath": json_path}} if json_path else {}
    return {"fileSet": {"@id": FILES}, "extract": {"column": column}, **transform}


def _of_audio() -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{RECORDS}/audio",
        "name": "audio",
        "description": "The clip: FLAC, 32 kHz, mono.",
        "dataType": "sc:AudioObject",
        "source": _source("audio", "bytes"),
    }


def _field(column: pa.Field) -> dict[str, Any]:
    """A column of texts, numbers, lists of texts, or lists of structs."""
    about = {
        "@type": "cr:Field",
        "@id": f"{RECORDS}/{column.name}",
        "name": column.name,
        "description": column.metadata[b"description"].decode(),
    }
    if not pa.types.is_list(column.type):
        return {**about, "dataType": DATA_TYPES[str(column.type)], "source": _source(column.name)}
    array = {"isArray": True, "arrayShape": "-1"}
    inner = column.type.value_type
    if not pa.types.is_struct(inner):
        return {**about, "dataType": DATA_TYPES[str(inner)], **array, "source": _source(column.name)}
    parts = [
        {
            "@type": "cr:Field",
            "@id": f"{RECORDS}/{column.name}/{part.name}",
            "name": part.name,
            "dataType": DATA_TYPES[str(part.type)],
            "source": _source(column.name, part.name),
        }
        for part in inner
    ]
    return {**about, **array, "subField": parts}


def _provenance(column: str, clips: pa.Table) -> dict[str, Any]:
    """Where the values of a column come from, in PROV-O."""
    if column != "caption":
        return {}
    by = ["model", "prompt_version"]
    made = clips.group_by(by).aggregate([([], "count_all")]).sort_by([(name, "ascending") for name in by])
    activities = []
    for row in made.to_pylist():
        model, prompt = row["model"], row["prompt_version"]
        agent = {"@id": f"urn:wavcaps:model:{quote(model, safe='')}"}
        activities.append(
            {
                **_labelled(
                    f"urn:wavcaps:captioning:{quote(model, safe='')}:{quote(prompt, safe='')}",
                    "prov:Activity",
                    f"captioning of {row['count_all']} clips",
                ),
                "prov:wasAssociatedWith": {
                    **agent,
                    "@type": "prov:SoftwareAgent",
                    "rdfs:label": {"@value": shown(model)},
                },
                "prov:used": [
                    {
                        **_labelled(f"urn:wavcaps:prompt:{quote(prompt, safe='')}", "prov:Plan", "prompt"),
                        "version": {"@value": prompt},
                    },
                    {"@id": f"{RECORDS}/text"},
                ],
            }
        )
    return {
        "prov:wasDerivedFrom": {"@id": f"{RECORDS}/text"},
        "prov:wasGeneratedBy": activities,
        "prov:wasAttributedTo": [activity["prov:wasAssociatedWith"] for activity in activities],
        # Of each caption: the values are in these columns of the same record.
        "annotation": {
            "@type": "cr:Field",
            "@id": f"{RECORDS}/caption/made_by",
            "name": "made_by",
            "description": "The model that wrote the caption, and its prompt.",
            "dataType": "prov:SoftwareAgent",
            "equivalentProperty": "prov:wasAttributedTo",
            "subField": [
                {
                    "@type": "cr:Field",
                    "@id": f"{RECORDS}/caption/made_by/{name}",
                    "name": name,
                    "dataType": "sc:Text",
                    "source": _source(name),
                }
                for name in by
            ],
        },
    }


def _labelled(identifier: str, kind: str, label: str) -> dict[str, Any]:
    return {"@id": identifier, "@type": kind, "rdfs:label": {"@value": shown(label)}}
