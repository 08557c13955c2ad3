"""The rows of a data pack's metadata as records. A row is about one sound of FreeSound.

The columns are those of FreeSound's own command that makes the packs. Where a row has columns by the names of
the API, such as `is_explicit`, they are read too; other columns are not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from wavcaps_assets.sources.base import Record, seconds, web_url
from wavcaps_assets.sources.freesound_categories import category_names
from wavcaps_assets.sources.freesound_pack_files import Checksums, PackFiles, crc32
from wavcaps_assets.sources.freesound_sound import MAX_INT32, MAX_INT64, MAX_NAME_CHARS, is_ai_made

MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d{1,6})?)")
FLAGS = {"true": True, "1": True, "false": False, "0": False}


def record_of(number: int, row: Mapping[str, str], where: str) -> Record:
    """A sound as its row describes it, without its file.

    Args:
        row: its values by column, in lower case.
        where: the row's place, for what is wrong with it.
    """
    source_id = str(number)
    if any("\udc80" <= char <= "\udcff" for cell in row.values() if not cell.isascii() for char in cell):
        return Record(source_id, "", problem=f"{where}: the row is not UTF-8")
    known = {name: cell.strip() for name, cell in row.items()}
    category, subcategory = _categories(known)
    tags = tuple(known["tags"].split()) if "tags" in known else None
    return Record(
        source_id=source_id,
        audio_url=f"{number // 1000}/{number}.{_type(known) or 'wav'}",
        title=known.get("title") or known.get("name") or None,
        description=row.get("description") or None,
        tags=tags or (),
        author=known.get("username") or None,
        licence=known.get("license") or None,
        page_url=web_url(known.get("url")) or f"https://freesound.org/s/{number}/",
        claimed_duration_s=seconds(known.get("duration")),
        claimed_sample_rate=_whole(known.get("samplerate"), MAX_INT32),
        claimed_channels=_whole(known.get("channels"), MAX_INT32),
        claimed_format=_type(known),
        claimed_bytes=_whole(known.get("filesize"), MAX_INT64),
        claimed_crc32=crc32(known.get("crc32", "")),
        created=_moment(known.get("created", "")),
        gen_ai_preference=_name(known, "generative_ai_preference") or _name(known, "gen_ai_preference"),
        category=category,
        subcategory=subcategory,
        category_is_user_provided=FLAGS.get(known.get("category_is_user_provided", "").lower()),
        is_explicit=FLAGS.get(known.get("is_explicit", "").lower()),
        is_remix=FLAGS.get(known.get("is_remix", "").lower()),
        synthetic=is_ai_made(tags),
    )


def with_file(
    record: Record, row: Mapping[str, str], path: str, files: PackFiles, checksums: Checksums
) -> Record:
    """A record with the file of its sound in the folder, if there is one, and with the file's checksum.

    Args:
        path: of the metadata file. Of several audio files, one as close to it as possible is chosen.
    """
    if record.problem:
        return record
    number = int(record.source_id)
    claimed = checksums.audio.get(number) or record.claimed_crc32
    paths = files.audio.get(number, [])
    if not paths:
        return replace(record, claimed_crc32=claimed)
    listed = row.get("filepath", "").strip() or record.audio_url
    beside = path.split("/")[:-1]

    def preference(one: str) -> tuple[bool, bool, int, int, str]:
        folders = one.split("/")[:-1]
        near = next((i for i, (a, b) in enumerate(zip(folders, beside, strict=False)) if a != b), len(beside))
        suffix = _suffix(one)
        # As listed; of the listed type; of the same release as the row.
        return not f"/{one}".endswith(f"/{listed}"), suffix != record.claimed_format, -near, len(one), one

    chosen = min(paths, key=preference)
    if record.claimed_format is not None and _suffix(chosen) != record.claimed_format:
        # It was converted: the checksum and the size are those of the file that it was made from.
        return replace(record, audio_url=chosen, claimed_crc32=None, claimed_bytes=None)
    return replace(record, audio_url=chosen, claimed_crc32=claimed)


def _suffix(path: str) -> str:
    return path.rpartition(".")[2].lower()


def _type(known: Mapping[str, str]) -> str | None:
    text = known.get("type", "").lower()
    return text if re.fullmatch(r"[a-z0-9]{1,5}", text) else None


def _name(known: Mapping[str, str], column: str) -> str | None:
    text = known.get(column)
    return text if text and len(text) <= MAX_NAME_CHARS else None


def _categories(known: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Category and subcategory, by names where the row has them, or else by the taxonomy's key."""
    by_key = category_names(known.get("bst_category_code") or known.get("category_code") or "")
    return _name(known, "category") or by_key[0], _name(known, "subcategory") or by_key[1]


def _moment(text: str) -> str | None:
    """A moment as the API writes it; None if it is not one."""
    match = MOMENT.fullmatch(text)
    return f"{match[1]}T{match[2]}" if match else None


def _whole(text: str | None, most: int) -> int | None:
    number = seconds(text)
    return round(number) if number is not None and number <= most else None
