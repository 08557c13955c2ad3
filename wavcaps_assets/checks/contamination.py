"""Whether a training set is free of a benchmark. Independent of the code that removes its clips."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.against import Against
from wavcaps_assets.benchmark_sets.heard import not_heard
from wavcaps_assets.checks.outcome import CheckOutcome

# The numbers of sounds and the ids of videos that a clip's name, page and texts have: some are none, but only
# those of the benchmark count.
LEAKS = r"""
    with train as (
        select clip_id, source, substr(clip_id, length(source) + 2) as name,
            concat_ws(' ', texts.title, texts.text, texts.attribution, texts.page_url) as said
        from manifest left join texts using (clip_id)
        where split = 'train' and source <> $benchmark
    ),
    links as (
        select clip_id, 'sound' as kind,
            unnest(regexp_extract_all(said, '(?i)freesound\.(?:org|iua\.upf\.edu)/[^\s"<>]+')) as link
        from train
        union all
        select clip_id, 'video', unnest(regexp_extract_all(said, '(?i)youtu[^\s"<>]+')) from train
    ),
    tokens as (
        select clip_id, regexp_extract(
            link, '/(?:(?:s|sounds|iframe|previews/\d+|displays/\d+)/|samplesViewSingle\.php\?id=)0*(\d+)', 1,
            'i'
        ) as id, kind
        from links where kind = 'sound'
        union all
        select clip_id, unnest(regexp_extract_all(link || ' ', '[=/]([\w-]{11})[^\w-]', 1)), kind
        from links where kind = 'video'
        union all
        select clip_id, regexp_extract(name, '^(?:(?:train|validation|test)-)?0*(\d+)', 1), 'sound'
        from train where contains(source, 'freesound') or source = 'laion'
        union all
        select clip_id, regexp_extract(name || ' ' || said, '\b[1-5]-0*(\d+)-[A-Z]-\d{1,2}\b', 1), 'sound'
        from train
        union all
        select clip_id, unnest([
            left(name, 11), substr(name, 2, 11), regexp_extract(name, 'Y([\w-]{11})', 1)
        ]), 'video'
        from train where contains(source, 'audioset') or source = 'audiocaps'
        union all
        select clip_id, ltrim(freesound_id, '0'), 'sound'
        from train join own using (clip_id) where freesound_id is not null
        union all
        select clip_id, youtube_id, 'video' from train join own using (clip_id) where youtube_id is not null
    )
    select tokens.clip_id, 'the ' || kind || ' ' || id || ' of ' || coalesce(
        any_value(ids.clip_id), 'an exclusion list'
    )
    from tokens join ids using (kind, id) where id <> ''
    group by tokens.clip_id, kind, id
    union all
    select manifest.clip_id, any_value(heard.key)
    from manifest join heard using (clip_id) where split = 'train' group by manifest.clip_id
    order by all
"""
IDS = """
    select clip_id, 'sound' as kind, ltrim(freesound_id, '0') as id from benchmark_clips
    where freesound_id is not null and list_contains($splits, split)
    union
    select clip_id, 'video', youtube_id from benchmark_clips
    where youtube_id is not null and list_contains($splits, split)
    union
    select null, case when starts_with(key, 'FreeSound') then 'sound' else 'video' end, entry from listed
"""


def check_free_of(manifest: pa.Table, texts: pa.Table, against: Against) -> CheckOutcome:
    """Whether no clip of the train split is one of a benchmark, by its ids, its texts or its audio.

    Args:
        manifest: `clip_id`, `source` and `split` of a training set.
        texts: `clip_id`, `title`, `text`, `attribution` and `page_url` of the clips of the published set.
        against: the benchmark.
    """
    import duckdb

    clips = against.clips
    if clips is not None:
        splits = pa.array(against.splits, pa.string())
        clips = clips.filter(pc.is_in(clips.column("split"), value_set=splits))
    notes, by_audio = against.notes, against.by_audio
    if by_audio is not None:
        notes += not_heard(by_audio, against.benchmark, manifest)
    missing = "".join(f". {note.removesuffix('.')}" for note in notes)
    if not (clips is not None and len(clips)) and not len(against.listed) and not len(against.overlaps):
        return CheckOutcome(
            True,
            f"not compared: neither lists of {against.benchmark} nor an exclusion list are there{missing}",
        )
    empty = {name: pa.array([], pa.string()) for name in ("clip_id", "split", "freesound_id", "youtube_id")}
    with duckdb.connect() as database:
        for name, table in (
            ("manifest", manifest),
            ("texts", texts),
            ("listed", against.listed),
            ("heard", against.overlaps.select(["clip_id", "key"])),
            ("own", against.own.select(list(empty))),
            ("benchmark_clips", pa.table(empty) if clips is None else clips.select(list(empty))),
        ):
            database.register(name, table)
        database.execute(f"create temp table ids as {IDS}", {"splits": list(against.splits)})
        found = database.execute(LEAKS, {"benchmark": against.benchmark}).fetchall()
    compared = {
        "clips of the benchmark": 0 if clips is None else len(clips),
        "listed ids": len(against.listed),
    }
    if by_audio is not None:
        compared["not compared by audio"] = by_audio.unheard(manifest)
    if not found:
        by = f"{len(clips):,} clips" if clips is not None else "its exclusion list"
        described = f"no training clip is in {against.benchmark}, compared with {by}{missing}"
        return CheckOutcome(True, described, {"leaks": 0, **compared})
    clip, what = found[0]
    number = len({clip for clip, _ in found})
    return CheckOutcome(
        False,
        f"{number} training clips are in {against.benchmark}, such as {clip} ({what})",
        {"leaks": number, **compared},
    )
