"""CSV files of clips with their captions, in the format of Clotho's or AudioCaps' own.

A list that is read otherwise than it was written gives another score, so what does not fit is an error, and
what is left out is counted.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence

from wavcaps_assets.benchmark_sets.columns import read_records
from wavcaps_assets.benchmark_sets.lists import CAPTION_COLUMNS, SetError, SetList, blank_notes
from wavcaps_assets.store.storage import Store

FILE, VIDEO, START = "file_name", "youtube_id", "start_time"
ONE_CAPTION, NUMBERED = CAPTION_COLUMNS[0], CAPTION_COLUMNS[1:]
KNOWN = (FILE, VIDEO, START, *CAPTION_COLUMNS)
# As alike as `captoin_3` and `caption_3` are.
MISSPELLED = 0.8
# Of the lists of AudioCaps and Clotho.
MOST_CAPTIONS = 5


def read_csv(store: Store, path: str) -> SetList:
    """Reads a list with `file_name` or `youtube_id`, and `caption`, or `caption_1` to `caption_5`.

    Encodings and delimiters are those of `columns.read_list_columns`. Names of columns may differ in case.

    Raises:
        SetError: a row has no file, no caption, or too many values; a column is missing or misspelled; a file
            has two starts; or a list with numbered captions has a file twice.
    """
    where = store.describe(path)
    names, rows = read_records(store, path)
    names = [name.lower() if name.lower() in KNOWN else name for name in names]
    columns = _caption_columns(names, where)
    listed = SetList()
    blank, first_line = 0, dict[str, int]()
    for line, values in rows:
        if len(values) > len(names):
            raise SetError(
                f"{where}, line {line} has {len(values)} values, but there are {len(names)} columns: put "
                f"captions with a comma into quotes: {values}"
            )
        row = dict(zip(names, (value.strip() for value in values), strict=False))
        file = row.get(FILE) or (f"Y{row[VIDEO]}.wav" if row.get(VIDEO) else None)
        captions = [row[column] for column in columns if row.get(column)]
        if file is None or not captions:
            raise SetError(f"{where}, line {line}: no {FILE} (or {VIDEO}) or no caption: {row}")
        before = first_line.setdefault(file, line)
        start = _start(row)
        if before < line and ONE_CAPTION not in columns:
            raise SetError(f"{where}, line {line}: {file!r} is in line {before}, too: remove one of them")
        if before < line and start != listed.start_of(file):
            raise SetError(
                f"{where}, line {line}: {file!r} has another {START} than in line {before}. One file cannot "
                f"be both: give each clip a {FILE} of its own"
            )
        blank += len(columns) - len(captions)
        listed.add(file, captions, start=start)
    listed.notes = [*blank_notes(blank, path), *_many_captions(listed, path)]
    return listed


def _caption_columns(names: Sequence[str], where: str) -> list[str]:
    """The columns of captions.

    Raises:
        SetError: there is none, or none for files; one is there twice, misspelled, or missing between others.
    """
    found = [name for name in names if name in CAPTION_COLUMNS]
    if len(set(found)) < len(found):
        raise SetError(f"{where}: a column of captions is there twice: {', '.join(names)}")
    for name in names:
        if name not in KNOWN and difflib.get_close_matches(name.lower(), CAPTION_COLUMNS, 1, MISSPELLED):
            raise SetError(
                f"{where}: the column {name!r} is not read. Columns of captions are "
                f"{', '.join(CAPTION_COLUMNS)}: rename it"
            )
    numbered = [name for name in NUMBERED if name in found]
    if numbered != list(NUMBERED[: len(numbered)]):
        raise SetError(f"{where} has the columns {', '.join(numbered)}: one in between is missing")
    if names and not (found and {FILE, VIDEO} & set(names)):
        raise SetError(
            f"{where} has no column {FILE} or {VIDEO}, or none for captions ({', '.join(CAPTION_COLUMNS)}). "
            f"Its first line is {', '.join(names)[:200]!r}"
        )
    return found


def _many_captions(listed: SetList, path: str) -> Iterator[str]:
    """Whether clips have more captions than those of AudioCaps and Clotho."""
    many = sum(len(captions) > MOST_CAPTIONS for captions in listed.captions)
    if many:
        name = path.rpartition("/")[2]
        yield f"{many:,} clips of {name} have more than {MOST_CAPTIONS} captions: are lines there twice?"


def _start(row: Mapping[str, str]) -> float | None:
    try:
        return float(row.get(START) or "")
    except ValueError:
        return None
