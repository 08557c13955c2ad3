"""Clips that are passed over have no key of a benchmark: the same comparison without passing over any."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from wavcaps_assets.benchmark_sets.candidates import hinted, own
from wavcaps_assets.benchmark_sets.evidence import BY_ID, compared, overlaps_by_id, text_keys
from wavcaps_assets.benchmark_sets.exclusion_lists import LISTED
from wavcaps_assets.benchmark_sets.keys import BENCHMARK_KEYS, OWN_KEYS, SOUND, TEXT_KEYS, VIDEO
from wavcaps_assets.tables import BENCHMARK_CLIPS, OVERLAPS

VIDEOS = ["Yb0RFKhbpFJ", "-aYaB0_c1d2", "AbCdEfGhIj-", "1-12345-A-0", "abcdefabcde"]
SOUNDS = ["77", "12345", "100032", "5"]
# Names and links with an id, as the benchmarks, FreeSound, YouTube and download tools write them.
VIDEO_TIMES = ("", "_30", "_000030", "_3_13")
SOUND_LINKS = (
    "https://freesound.org/s/",
    "www.freesound.org/people/a/sounds/00",
    "freesound.iua.upf.edu/samplesViewSingle.php?id=",
    "FreeSound.org/apiv2/sounds/",
    "freesound.org%2Fpeople%2Fa%2Fsounds%2F",
)
VIDEO_LINKS = (
    "https://youtu.be/",
    "https://www.YouTube.com/watch?t=1&v=",
    "youtube-nocookie.com/embed/",
    "youtube.com/shorts/",
    "www.youtube.com%2Fwatch%3Fv%3D",
    "i.ytimg.com/vi/",
)
NAMES = [
    *(f"{start}{video}{times}" for video in VIDEOS for start in ("", "Y") for times in VIDEO_TIMES),
    *(f"{fold}-{sound}-{take}" for sound in SOUNDS for fold in (1, 5) for take in ("A", "B-0", "C-49")),
    *(f"{sound}-3-0-{part}" for sound in SOUNDS for part in (0, 12)),
    *(f"{sound}__some-user__a_name" for sound in SOUNDS),
    *(f"freesound.org/data/previews/0/{sound}_9-hq.mp3" for sound in SOUNDS),
    *(link + sound for link in SOUND_LINKS for sound in SOUNDS),
    *(link + video for link in VIDEO_LINKS for video in VIDEOS),
]
ENDINGS = ["", ".wav", ".FLAC", ".mp3x", ".aiff", ".aif", "-0a1b2c.ogg", "-0a1b2c3d4e5f6789.opus", ".wav.mp4"]
BETWEEN = [
    "",
    " ",
    "-",
    "_",
    ".",
    "a",
    "7",
    "\n",
    "é",
    "(",
    "a dog-",
    "x.wav",
    "abcdefg.wav",
    ".webm-",
    "Y",
    "1-",
]


def random_text(rng: random.Random) -> str:
    """Names and links, or parts of them, with what may stand before, between and after them."""
    parts = []
    for _ in range(rng.randint(1, 3)):
        name = rng.choice(NAMES)
        if rng.random() < 0.3:
            name = name[rng.randint(0, 3) : len(name) - rng.randint(0, 3)]
        parts += [rng.choice(BETWEEN), rng.choice(BETWEEN), name + rng.choice(ENDINGS)]
    return "".join([*parts, rng.choice(BETWEEN)])


def benchmark_clips() -> pa.Table:
    rows = [
        *({"benchmark": "esc50", "freesound_id": sound} for sound in SOUNDS[:3]),
        *({"benchmark": "audiocaps", "youtube_id": video} for video in VIDEOS[:4]),
    ]
    named = [
        {
            "version": "v1",
            "split": "test",
            "captions": [],
            "file": f"{number}.wav",
            "clip_id": f"{row['benchmark']}-{number}.wav",
            **row,
        }
        for number, row in enumerate(rows)
    ]
    return BENCHMARK_CLIPS.from_rows(named)


@pytest.mark.slow
def test_no_clip_with_a_key_is_passed_over() -> None:
    rng = random.Random(11)
    clips = [random_clip(rng, number) for number in range(10_000)]
    table = compared(pa.Table.from_pylist(clips), {"mixed": "audioset_sl"})
    benchmark, keys = benchmark_clips(), [f"{SOUND}5", f"{VIDEO}{VIDEOS[4]}"]
    constant = [[value] * len(keys) for value in ("a list", "clotho", "none", "an entry")]
    listed = pa.table([*constant, keys], names=LISTED.names).cast(LISTED)
    found = overlaps_by_id(table, benchmark, listed)
    assert found.equals(without_passing_over(table, benchmark, listed))
    assert found.equals(overlaps_by_id(table, benchmark, listed, text_keys(table)))
    assert set(found.column("evidence").to_pylist()) == {"id", "list"}
    assert 500 < len(own(table, benchmark, listed)) < 9_000 and 500 < len(hinted(table)) < 9_000


def random_clip(rng: random.Random, number: int) -> dict[str, str | None]:
    source = rng.choice(["local", "soundbible", "freesound", "audioset_sl", "audiocaps", "esc50", "mixed"])
    if source == "freesound":
        own = rng.choice(["", "0", "00"]) + rng.choice([*SOUNDS, f"9{number}"]) + rng.choice(["", ".flac"])
    elif source == "audioset_sl":
        own = rng.choice(["", "Y"]) + rng.choice([*VIDEOS, f"{number:011}"]) + rng.choice(["", "_30"])
    else:
        own = rng.choice([random_text(rng), f"{number % 9}.wav"])
    return {
        "clip_id": f"{source}-{own}",
        "source": source,
        "split": "train",
        "file": own if source in ("audiocaps", "esc50", "freesound") and number % 2 else None,
        "texts": rng.choice([random_text(rng), "a dog barks.", ""]),
    }


def without_passing_over(clips: pa.Table, benchmark: pa.Table, listed: pa.Table) -> pa.Table:
    import duckdb

    with duckdb.connect() as database:
        tables = {"own": clips, "hinted": clips, "benchmark_clips": benchmark, "listed": listed}
        for name, table in tables.items():
            database.register(name, table)
        for query in (*OWN_KEYS, *TEXT_KEYS, BENCHMARK_KEYS):
            database.execute(query)
        return database.sql(BY_ID).to_arrow_table().cast(OVERLAPS.arrow)
