"""Which files of a store a backup has: all but those of three large kinds, unless they are asked for."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePosixPath

from wavcaps_assets.retention.unused import AUDIO, CHECKPOINTS, COPIES, LATENTS


class Kind(StrEnum):
    """Files that a backup leaves out by default. Each can be made again, with time, requests or a GPU."""

    AUDIO = "audio"
    CHECKPOINTS = "checkpoints"
    EXPORTS = "exports"


# Of your own sets and benchmarks, which have their audio next to their lists.
SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aif", ".aiff", ".tar"})


def kind_of(path: str) -> Kind | None:
    """The kind of a file of the store; None: every backup has it."""
    folder = path.partition("/")[0] if "/" in path else ""
    # Latents are what some checkpoints are trained on.
    if folder == CHECKPOINTS or LATENTS.fullmatch(path):
        return Kind.CHECKPOINTS
    if folder == Kind.EXPORTS:
        return Kind.EXPORTS
    is_audio = folder == AUDIO or folder.startswith(COPIES) or PurePosixPath(path).suffix.lower() in SUFFIXES
    return Kind.AUDIO if is_audio else None
