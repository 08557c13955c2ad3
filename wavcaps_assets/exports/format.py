"""What a format is: its settings, and one function that writes its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, Field

from wavcaps_assets.exports.export_folder import ExportFolder
from wavcaps_assets.exports.exported_set import ExportedSet


class FormatSettings(BaseModel, extra="forbid"):
    """The settings of a format. Every field has a default and a description."""


class AudioSettings(FormatSettings):
    """The settings of a format with audio."""

    check_samples: bool = Field(
        False,
        description="Decode each clip, and leave it out if its samples are not those of the version. Without "
        "it, only the sizes of the files are compared with what was stored, which finds a truncated file.",
    )


Settings = TypeVar("Settings", bound=FormatSettings)


@dataclass(frozen=True)
class ExportFormat(Generic[Settings]):
    """A format.

    Attributes:
        name: its name in commands and asset keys, the same as its module.
        description: what it is, and who reads it.
        settings: the class of its settings.
        write: writes all files of a set into the export's folder, in parts. A part that a killed run has
            finished is not written again.
        kinds: tags of the asset in the web UI.
    """

    name: str
    description: str
    settings: type[Settings]
    write: Callable[[ExportedSet, Settings, ExportFolder], None]
    kinds: frozenset[str] = frozenset()
