"""The files that raters send back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wavcaps_assets.store.storage import Store

# As page.js writes them.
FORMAT = "wavcaps-validation-answers"
VERSION = 1
# A study of 2,000 clips is under 1 MB.
MOST_BYTES = 20_000_000


class BadFolder(ValueError):
    """The folder of the raters' files does not exist or is empty."""


class BadFile(ValueError):
    """A file without readable answers.

    Attributes:
        reason: reason code for `tables.VALIDATION_RATINGS`.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class AnswerFile(BaseModel):
    """A rater's file. Answers are validated one by one, so that a bad one does not affect the others."""

    model_config = ConfigDict(strict=True)

    format: str
    version: int
    study: str
    rater: str = Field(min_length=1, max_length=200)
    answers: list[Any]


def answer_files(folder: str, store: Store) -> Iterator[tuple[str, bytes | None]]:
    """The files of a folder in the order of their names, with their content; None if a file is too large.

    Args:
        folder: an absolute path, or one relative to the store.

    Raises:
        BadFolder: there is no such folder, or it is empty.
    """
    if Path(folder).is_absolute():
        try:
            sizes = {path.name: path.stat().st_size for path in Path(folder).iterdir() if path.is_file()}
        except OSError as error:
            raise BadFolder(f"the raters' folder {folder} cannot be read: {error.strerror}") from error
        where = folder
    else:
        sizes, where = store.sizes(folder), store.describe(folder)
    names = sorted(name for name in sizes if not name.startswith("."))
    if not names:
        raise BadFolder(f"{where} is empty: put the files there that the raters saved")
    for name in names:
        if sizes[name] > MOST_BYTES:
            yield name, None
        elif Path(folder).is_absolute():
            yield name, (Path(folder) / name).read_bytes()
        else:
            yield name, store.read_bytes(f"{folder}/{name}")


def parse_file(content: bytes | None) -> AnswerFile:
    """Reads a rater's file.

    Raises:
        BadFile: it cannot be used.
    """
    if content is None:
        raise BadFile("file_too_large", f"larger than {MOST_BYTES:,} bytes")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadFile("file_not_json", str(error) or type(error).__name__) from error
    if not isinstance(value, dict) or value.get("format") != FORMAT or value.get("version") != VERSION:
        raise BadFile("file_of_another_kind", f"it is not a {FORMAT!r} file of version {VERSION}")
    if isinstance(value.get("rater"), str):
        value["rater"] = writable(value["rater"])
    try:
        return AnswerFile.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BadFile("file_malformed", f"{place}: {first['msg']}") from error


def writable(text: str) -> str:
    """A text without lone surrogates, which JSON can contain and a table cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")
