"""A small study: tones in a store, their captions, and files as raters send them back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import soundfile

from tests.support.rows import manifest_row
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import MANIFEST
from wavcaps_assets.validation.settings import StudySettings
from wavcaps_assets.validation.study_files import WrittenStudy, write_study

HOSTILE = (
    '</script><script>document.title="owned"</script>',
    "<img src=x onerror=\"document.title='owned'\">",
    "<!--<script>",
    "{{ 7 * 7 }} &lt;b&gt; \u2028 \u202eright to left\x00",
)


def tone(store: Store, path: str, hertz: float, seconds: float = 0.4) -> None:
    with store.writing(path) as file:
        wave = 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(32_000 * seconds)) / 32_000)
        soundfile.write(file, wave, 32_000, format="FLAC")


def small_study(
    store: Store, captions: Mapping[str, str], second: Mapping[str, str] | None = None, **settings: Any
) -> WrittenStudy:
    """A study of these clips; their ids start with their source, as in `freesound-1`."""
    rows = []
    for number, (clip_id, caption) in enumerate(captions.items()):
        row = manifest_row(clip_id, clip_id.rpartition("-")[0], caption=caption, duration_s=0.4)
        tone(store, row["audio_path"], 300 + 40 * number)
        rows.append(row)
    if second is not None:
        lines = ["clip_id,caption", *(f'{clip_id},"{text}"' for clip_id, text in second.items())]
        store.write_bytes("second.csv", "\n".join(lines).encode())
        settings["second_captions"] = "second.csv"
    return write_study(MANIFEST.from_rows(rows), StudySettings(**{"sources": [], **settings}), store)


def answers_file(written: WrittenStudy, rater: str, said_answers: list[Any], **changes: Any) -> bytes:
    said = {
        "format": "wavcaps-validation-answers",
        "version": 1,
        "study": written.study.study_id,
        "rater": rater,
        "answers": said_answers,
        **changes,
    }
    return json.dumps(said).encode()


def answer(
    study: WrittenStudy, clip_id: str, score: Any, second: Any = None, option: Any = None, at: str = ""
) -> dict[str, Any]:
    """One answer, as page.js writes it."""
    row = next(row for row in study.study.key.to_pylist() if row["clip_id"] == clip_id)
    ratings = {row["caption_id"]: score}
    if row["second_caption_id"] is not None:
        ratings[row["second_caption_id"]] = second
    return {"item": row["item_id"], "ratings": ratings, "option": option, "at": at or "2026-01-01T00:00:00Z"}
