"""A study in the store: writes its page and key, and reads the answers."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wavcaps_assets.store.migration import read_columns
from wavcaps_assets.store.storage import Store, StoreError
from wavcaps_assets.tables import VALIDATION_STUDY
from wavcaps_assets.validation.answer_files import answer_files
from wavcaps_assets.validation.page import page_audio, render_page
from wavcaps_assets.validation.ratings import questions_of, read_ratings
from wavcaps_assets.validation.scores import RaterWork, work_of_raters
from wavcaps_assets.validation.second_captions import SecondCaptions, read_second_captions
from wavcaps_assets.validation.settings import FOLDER, RatingsSettings, StudySettings
from wavcaps_assets.validation.study import Study, UnusableClip, sample_study


class UnknownStudy(LookupError):
    """There is no such study in the store."""


@dataclass(frozen=True)
class WrittenStudy:
    """A study in the store.

    Attributes:
        page: the page for raters, relative to the store. Raters must not get any other file.
        page_bytes: its size.
        second: the second captions; None if there are none.
    """

    study: Study
    page: str
    page_bytes: int
    second: SecondCaptions | None


@dataclass(frozen=True)
class Answers:
    """The answers that raters sent back.

    Attributes:
        ratings: `tables.VALIDATION_RATINGS`.
        raters: the work of each rater.
    """

    ratings: pa.Table
    raters: list[RaterWork]


def write_study(manifest: pa.Table, settings: StudySettings, store: Store) -> WrittenStudy:
    """Samples a study and writes its page and its key.

    The key is kept when the next study is drawn, so that later answers to this one can be read.

    Args:
        manifest: `tables.MANIFEST`.

    Raises:
        NoClipFits: no clip matches the settings.
        BadSecondCaptions: the file of second captions cannot be used.
        StoreError: the store cannot be read or written.
    """

    def load(clip: Mapping[str, Any]) -> bytes:
        try:
            with store.reading(clip["audio_path"]) as flac:
                return page_audio(flac)
        except StoreError as error:
            raise UnusableClip(f"its audio is not in the store: {error}") from error

    second = read_second_captions(settings.second_captions, store) if settings.second_captions else None
    study = sample_study(manifest, second, settings, load)
    content = render_page(study).encode("utf-8")
    store.write_table(_key_path(study.study_id), study.key, VALIDATION_STUDY)
    page = f"{FOLDER}/{study.study_id}/page.html"
    store.write_bytes(page, content)
    return WrittenStudy(study, page, len(content), second)


def read_answers(key: pa.Table, settings: RatingsSettings, store: Store) -> Answers:
    """Reads the raters' files.

    Args:
        key: `tables.VALIDATION_STUDY` of the last study. The settings can name another one.

    Raises:
        UnknownStudy: the study in the settings is not in the store.
        BadFolder: there are no answer files.
    """
    if settings.study:
        key = read_key(settings.study, store)
    ratings = read_ratings(key, answer_files(settings.ratings, store))
    return Answers(ratings, work_of_raters(ratings, key.num_rows * len(questions_of(key))))


def read_key(study_id: str, store: Store) -> pa.Table:
    """The key of a study, by its id.

    Raises:
        UnknownStudy: it is not in the store.
    """
    try:
        content = store.read_bytes(_key_path(study_id))
    except StoreError as error:
        raise UnknownStudy(f"there is no study {study_id!r} in {store.describe(FOLDER)}") from error
    with pq.ParquetFile(io.BytesIO(content)) as file:
        return VALIDATION_STUDY.check(read_columns(file, VALIDATION_STUDY))


def _key_path(study_id: str) -> str:
    return f"{FOLDER}/{study_id}/key.parquet"
