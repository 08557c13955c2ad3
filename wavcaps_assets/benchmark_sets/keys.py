"""The keys by which clips of different sets are the same: a sound of FreeSound, a video of YouTube, a file.

A clip's key is in its own id, if its source has the ids of FreeSound or YouTube. Other keys are in its texts:
links to FreeSound and YouTube, and file names of FreeSound's downloads, ESC-50, UrbanSound8K, AudioCaps,
AudioSet and VGGSound, which have an id in them. So a clip of SoundBible or of a local folder is found, too,
if its text says where the sound is from.
"""

from __future__ import annotations

# The source whose ids a source's clips have: FreeSound's sounds, or AudioSet's segments, which start with a
# video's id, or with Y and the id.
FREESOUND, AUDIOSET = "freesound", "audioset_sl"
IDS_OF = {FREESOUND: FREESOUND, "freesound_data_packs": FREESOUND, "laion": FREESOUND, AUDIOSET: AUDIOSET}
SOUND, VIDEO = "FreeSound sound ", "YouTube video "
NAMED = ", named in its text"


# In links that are a part of another link, these are encoded.
SLASH, EQUALS, QUERY, AND = r"(?:/|%2F)", "(?:=|%3D)", r"(?:\?|%3F)", "(?:&|%26)"
# Links to a sound or a video: RE2, whose group is the id. Of FreeSound, pages of sounds, short links, the
# API, the embedded player, pages of its first years, and previews and spectrograms, which
# are `<id // 1000>/<id>_<user>-hq.mp3`. Of YouTube, pages, players, redirections and preview pictures.
LINKS = (
    (
        SOUND,
        rf"(?i)freesound\.(?:org|iua\.upf\.edu){SLASH}(?:(?:people{SLASH}[^/\s]+?{SLASH}(?:downloaded_)?sounds|s|"
        rf"sounds|apiv2{SLASH}sounds|embed{SLASH}sound{SLASH}iframe){SLASH}|"
        rf"samplesViewSingle\.php{QUERY}id{EQUALS})(\d{{1,9}})",
    ),
    (SOUND, r"(?i)freesound\.org/(?:data/)?(?:previews|displays)/\d+/(\d{1,9})_"),
    (
        VIDEO,
        rf"(?i)(?:youtube(?:-nocookie)?\.com{SLASH}(?:attribution_link\?[^\s#]*u=%2F)?"
        rf"(?:watch{QUERY}(?:[^\s#]*{AND})?v{EQUALS}|(?:watch|embed|shorts|live|v|e){SLASH})|youtu\.be{SLASH}|"
        rf"(?:ytimg|img\.youtube)\.com{SLASH}vi(?:_webp)?{SLASH})([A-Za-z0-9_-]{{11}})",
    ),
)
# Names of files without their ending, alone or at the end of a longer name: ids of local clips are paths with
# other characters replaced by "-", and may end in a hash.
HASH = r"(?:-[0-9a-f]{6,16})?"
ID_START, ID_END = r"(?:^|-)", rf"{HASH}$"
VIDEO_ID, TIMES = r"([A-Za-z0-9_-]{11})", r"(?:_\d+)*"
NAMES = (
    # A download of FreeSound: `<id>__<user>__<name>`.
    (SOUND, rf"{ID_START}(\d{{1,9}})__[A-Za-z0-9-]"),
    # ESC-50: `<fold>-<id>-<take>-<class>`; in ESC-10's copies without the class.
    (SOUND, rf"{ID_START}[1-5]-(\d{{1,9}})-[A-Z](?:-\d{{1,2}})?{ID_END}"),
    # UrbanSound8K: `<id>-<class>-<occurrence>-<slice>`.
    (SOUND, rf"{ID_START}(\d{{1,9}})-\d-\d{{1,3}}-\d{{1,4}}{ID_END}"),
    # AudioCaps, AudioSet and VGGSound: `Y<id>`, `<id>_<start>`, `<id>_<start>_<end>`. An id may start with Y.
    (VIDEO, rf"{ID_START}Y{VIDEO_ID}{TIMES}{ID_END}"),
    (VIDEO, rf"{ID_START}{VIDEO_ID}{TIMES}{ID_END}"),
)
FORMATS = r"(?i:wav|flac|ogg|opus|mp3|m4a|aac|aiff?|mp4|webm|mkv)"
AUDIO_ENDING = rf"\.{FORMATS}\b"
# A file name in a text that may have an id in it.
FILE_NAME = rf"([A-Za-z0-9_-]{{7,}}){AUDIO_ENDING}"
# Names that are also known without an ending: ESC-50's, and FreeSound's downloads.
BARE_NAME = r"\b(?:[1-5]-\d{1,9}-[A-Z]-\d{1,2}|\d{2,9}__[A-Za-z0-9-]+__[A-Za-z0-9-]+)\b"

# A text without a match has no link and no such name; nearly all texts are passed over by this one pattern.
# Its parts: links; FreeSound's downloads; ESC-50; UrbanSound8K; and the id of a video where a file name, or a
# part of one after "-", starts. After an ending, the next file name may start at once, with "-".
HINT = (
    rf"(?i:freesound\.(?:org|iua)|youtu\.?be|ytimg)|\d__|[1-5]-\d{{1,9}}-[A-Z]|\d-\d-\d{{1,3}}-\d|"
    rf"(?:^|[^A-Za-z0-9_]|\.{FORMATS})Y?{VIDEO_ID}{TIMES}{HASH}{AUDIO_ENDING}"
)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _plain(kind: str, value: str) -> str:
    """An id as SQL: a sound has the same id with leading zeros."""
    return f"ltrim({value}, '0')" if kind == SOUND else value


def _each(patterns: tuple[tuple[str, str], ...], table: str) -> str:
    return " union all ".join(
        f"""
        select clip_id, source, split,
            {_quoted(kind)} || {_plain(kind, f"unnest(regexp_extract_all(value, {_quoted(pattern)}, 1))")}
                as key, named
        from {table}
        """
        for kind, pattern in patterns
    )


# These make `text_keys` from the table `hinted` (`candidates.hinted`), and do not depend on a benchmark.
TEXT_KEYS = (
    f"""
    create temp view named as
    select clip_id, source, split, texts as value, {_quoted(NAMED)} as named from hinted
    """,
    f"""
    create temp table names as
    select clip_id, source, split, unnest(regexp_extract_all(value, {_quoted(FILE_NAME)}, 1)) as value, named
    from named
    union all
    select clip_id, source, split, unnest(regexp_extract_all(value, {_quoted(BARE_NAME)})), named
    from named
    """,
    f"create temp table text_keys as {_each(LINKS, 'named')} union all {_each(NAMES, 'names')}",
)
# These make `own_keys` from the table `own` (`candidates.own`). `named` is empty for a key that is the clip's
# own id.
OWN_KEYS = (
    """
    create temp table own_ids as
    select clip_id, source, split, file, ids_of, substr(clip_id, length(source) + 2) as value, '' as named
    from own
    """,
    """
    create temp table own_names as
    select clip_id, source, split, value, named from own_ids where ids_of is null and file is null
    """,
    f"""
    create temp table own_keys as
    select clip_id, source, split, {_quoted(SOUND)} || {_plain(SOUND, "split_part(value, '.', 1)")} as key,
        named
    from own_ids where ids_of = {_quoted(FREESOUND)}
    union all
    select clip_id, source, split, {_quoted(VIDEO)} || substr(value, 1, 11) as key, named
    from own_ids where ids_of = {_quoted(AUDIOSET)}
    union all
    select clip_id, source, split, {_quoted(VIDEO)} || substr(value, 2, 11) as key, named
    from own_ids where ids_of = {_quoted(AUDIOSET)} and starts_with(value, 'Y')
    union all
    select clip_id, source, split, 'file ' || file || ' of ' || source as key, named
    from own_ids where file is not null
    union all {_each(NAMES, "own_names")}
    """,
)
# From a table `benchmark_clips` of `tables.BENCHMARK_CLIPS`.
BENCHMARK_KEYS = f"""
    create temp table benchmark_keys as
    select clip_id, benchmark, split, {_quoted(SOUND)} || {_plain(SOUND, "freesound_id")} as key
    from benchmark_clips where freesound_id is not null
    union all
    select clip_id, benchmark, split, {_quoted(VIDEO)} || youtube_id
    from benchmark_clips where youtube_id is not null
    union all
    select clip_id, benchmark, split, 'file ' || file || ' of ' || benchmark from benchmark_clips
"""
