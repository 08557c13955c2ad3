"""A set of the size of WavCaps, for the benchmarks of publishing: 403,050 clips, of four sources (Table III).

Texts and captions are as long as the paper's (17.74 and 7.80 words on average), and follow from a seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from wavcaps_assets.store.schema import TableSchema
from wavcaps_assets.tables import MANIFEST

# Clips by source: Table III, after processing.
SOURCES = {"audioset_sl": 108_317, "bbc_sound_effects": 31_201, "freesound": 262_300, "soundbible": 1_232}
CLIPS = sum(SOURCES.values())
TEXT_WORDS, CAPTION_WORDS = 17.74, 7.80
VOCABULARY = 20_000
LICENCES = ("CC0-1.0", "CC-BY-4.0", "CC-BY-NC-4.0", "LicenseRef-RemArc")
# Of 1,999 real titles of FreeSound (those of ESC-50's clips), 420 have no ending, and 405 are file names of
# eleven characters or more without a space, of which some could be ids of videos.
WITHOUT_ENDING, LONG_NAME = 0.21, 0.20
NAMES = np.array([f"w{number:x}" + "aeiou"[number % 5] * (number % 6) for number in range(VOCABULARY)])


def sentences(rng: np.random.Generator, number: int, mean_words: float) -> list[str]:
    """Log-normal in length, with words that are as unequally frequent as real ones."""
    # The mean of a log-normal is exp(mu + sigma ** 2 / 2).
    lengths = np.maximum(rng.lognormal(np.log(mean_words) - 0.125, 0.5, number).astype(int), 2)
    drawn = NAMES[np.minimum(rng.zipf(1.3, int(lengths.sum())), VOCABULARY) - 1].tolist()
    ends = np.cumsum(lengths).tolist()
    return [" ".join(drawn[end - length : end]) for end, length in zip(ends, lengths.tolist(), strict=True)]


def manifest(seed: int = 5, sizes: Mapping[str, int] = SOURCES) -> pa.Table:
    """A table of `tables.MANIFEST`. One clip in ten shares its recording with another."""
    rng = np.random.default_rng(seed)
    return pa.concat_tables(_of_source(rng, source, number) for source, number in sizes.items())


def _of_source(rng: np.random.Generator, source: str, number: int) -> pa.Table:
    own = [_own_id(source, place) for place in range(number)]
    ids = [f"{source}-{name}" for name in own]
    recordings = rng.integers(0, 10 * number, number).tolist()
    columns: dict[str, Any] = {
        "clip_id": ids,
        "source": [source] * number,
        "source_id": own,
        "caption": sentences(rng, number, CAPTION_WORDS),
        "text": sentences(rng, number, TEXT_WORDS),
        "title": titles(rng, source, number),
        "tags": [["field-recording", "ambience", f"tag-{place % 997}"] for place in range(number)],
        "events": [[]] * number,
        "audio_path": [f"audio/{source}/2022-11/{name}.flac" for name in ids],
        "duration_s": rng.lognormal(2.0, 1.0, number),
        "samples_sha256": [hashlib.sha256(name.encode()).hexdigest() for name in ids],
        "author": [f"author {place % 20_011}" for place in range(number)],
        "licence": [f"licence {place % 4}" for place in range(number)],
        "licence_id": [LICENCES[place % 4] for place in range(number)],
        "attribution": [f"{name} by author {place % 20_011}" for place, name in enumerate(ids)],
        "page_url": [f"https://example.org/sounds/{name}/" for name in own],
        "model": ["gpt-4o-mini"] * number,
        "prompt_version": ["0123456789abcdef"] * number,
        "recording": [f"r{name}" if name < number else None for name in recordings],
    }
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(number, field.type)
        for field in MANIFEST.arrow
    ]
    return pa.table(arrays, schema=MANIFEST.arrow)


def titles(rng: np.random.Generator, source: str, number: int) -> list[str | None]:
    """Titles as the source's clips have them: AudioSet's have none, and only FreeSound's are file names."""
    if source == "audioset_sl":
        return [None] * number
    words = sentences(rng, number, 4.0)
    if source != "freesound":
        return list(words)
    return [
        text
        if kind < WITHOUT_ENDING
        else f"{text.replace(' ', '_'):_<11}.wav"
        if kind < WITHOUT_ENDING + LONG_NAME
        else f"{text} 1.wav"
        for kind, text in zip(rng.random(number), words, strict=True)
    ]


def filled(schema: TableSchema, rows: int, values: Mapping[str, Any]) -> pa.Table:
    """A table with some of its columns, and something that fits in the others."""
    return pa.table(
        [
            _array(values[field.name], field.type)
            if field.name in values
            else pa.nulls(rows, field.type)
            if field.nullable
            else _some(field.type, rows)
            for field in schema.arrow
        ],
        schema=schema.arrow,
    )


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    return values.cast(kind) if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, kind)


def _some(kind: pa.DataType, rows: int) -> pa.Array:
    if pa.types.is_list(kind):
        return pa.array([[]] * rows, kind)
    return pa.array(np.ones(rows, dtype=np.int64)).cast(kind)


def _own_id(source: str, place: int) -> str:
    """The id of a clip at its source, in the form of that source's ids."""
    return f"{place:011x}_30000" if source == "audioset_sl" else str(place)
