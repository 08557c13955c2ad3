"""Checks of a source's folder as a whole: a fault of the folder is not that of each of its files."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from wavcaps_assets.audio.reasons import REASONS, WRONG_CHECKSUM
from wavcaps_assets.network.errors import NotThere
from wavcaps_assets.sources.base import Source
from wavcaps_assets.sources.folders import files_in


class WrongFolder(ValueError):
    """The folder of clips is not there, is empty, or has other files than its source lists."""


def require_folder(source: Source, missing: int) -> None:
    """Checks that a source's folder is there and has files.

    Args:
        missing: number of clips whose file is missing, and that are not stored.

    Raises:
        WrongFolder: it is not, or has none.
    """
    folder = source.folder
    if folder is None or not missing:
        return
    problem = _problem_of(folder)
    if problem:
        raise WrongFolder(
            f"the folder of {source.title}, {folder}, {problem}, and {missing} clips of this partition are "
            "not stored yet: is its disk mounted, and is the setting right? Nothing is recorded against them"
        )


def wrong_checksums(rows: Mapping[str, Mapping[str, object]], few: int) -> list[str]:
    """The clips of a partition if all files that are there have a wrong checksum; empty otherwise.

    Args:
        rows: by clip id, of `tables.AUDIO`, or of `tables.DROPPED`.
        few: fewer wrong files than this are each file's own fault.
    """
    reasons = {clip_id: row.get("reason") for clip_id, row in rows.items()}
    there = [clip_id for clip_id, reason in reasons.items() if reason != REASONS[NotThere]]
    wrong = [clip_id for clip_id in there if reasons[clip_id] == WRONG_CHECKSUM]
    return wrong if len(wrong) >= max(len(there), few) else []


def other_release(source: Source, wrong: list[str]) -> WrongFolder:
    """The error of a folder none of whose files has the checksum that its source lists."""
    return WrongFolder(
        f"all {len(wrong)} files of {source.title} that are there have another checksum than their "
        f"source lists, first that of {wrong[0]}: the list and the files are not of the same release, or "
        "the files were changed. Get both again, then materialize raw_clips and audio. If each of the "
        "files is at fault, increase failed_partition of the asset"
    )


def _problem_of(folder: Path) -> str:
    try:
        return "" if list(islice(files_in(folder), 1)) else "has no files"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
