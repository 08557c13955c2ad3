"""The report's section of generated sounds."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.training.report.report_store import HOSTILE, SOURCES, Page, published_clip
from wavcaps_assets.tables import MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT
from wavcaps_training.report.collect import collect
from wavcaps_training.report.generated_sounds import spectrogram
from wavcaps_training.report.render import render_report
from wavcaps_training.tables import GENERATED_SOUNDS


def made(tables: TableStore, **changed: Any) -> None:
    """Writes the table of one generated sound, with its file."""
    with tables.store.writing("generated/made.flac") as path:
        soundfile.write(path, np.sin(np.arange(16_000)) / 2, 16_000, format="FLAC")
    row = {
        "sound_id": "1",
        "text": HOSTILE,
        "audio_path": "generated/made.flac",
        "samples_sha256": "a",
        "duration_s": 1.0,
        "sample_rate": 16_000,
        "checkpoint": "audioldm/demo",
        "weights_sha256": "b",
        "conditioned_by": "aisfx_minilm/demo",
        "conditioned_by_sha256": "c",
        "seed": 4,
        "steps": 200,
        "eta": 1.0,
        "guidance": 2.5,
        "candidates": 3,
        "candidate": 1,
        "similarity": 0.4567,
        "nearest_clip_id": "freesound-1",
        "nearest_caption": "A dog barks.",
        "nearest_audio_path": "audio/gone.flac",
        "nearest_similarity": 0.789,
        **changed,
    }
    tables.write(["generated_sounds", "audioldm", "demo"], None, GENERATED_SOUNDS.from_rows([row]))


def test_a_generated_sound_stands_next_to_the_nearest_clip(tables: TableStore) -> None:
    made(tables)
    near = published_clip("1", "A dog barks.", author="Ada <b>", licence="CC BY 4.0")
    tables.write(["wavcaps"], None, MANIFEST.from_rows([near]))
    page = Page(render_report(collect(tables, SOURCES, DEMO_EXPERIMENT)))
    text = "".join(page.text.split())
    assert "200steps,guidance2.5,thebestof3,seed4;1of1sounds" in text
    assert "similaritytothetext0.46" in text and "similaritytothesound0.79" in text
    assert "Itsfileisnotthere." in text
    assert "Ofanearliercheckpoint" not in text
    # Who made it is said, as of each clip that is played.
    assert "freesound-1·similaritytothesound0.79·Ada<b>·CCBY4.0" in text
    assert page.unbalanced == [] and "script" not in {tag for tag, _ in page.elements}
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(images) == 1 and str(dict(images[0])["src"]).startswith("data:image/png;base64,")


def test_a_nearest_clip_that_was_removed_is_neither_played_nor_quoted(tables: TableStore) -> None:
    with tables.store.writing("audio/near.flac") as path:
        soundfile.write(path, np.sin(np.arange(16_000)) / 2, 16_000, format="FLAC")
    made(tables, nearest_audio_path="audio/near.flac", nearest_caption="What was withdrawn.")
    tables.write(["wavcaps"], None, MANIFEST.from_rows([published_clip("2", "Rain.")]))

    def players() -> tuple[int, str]:
        page = Page(render_report(collect(tables, SOURCES, DEMO_EXPERIMENT)))
        section = page.text.partition("Nearest real clip")[2]
        return [tag for tag, _ in page.elements].count("audio"), section

    count, text = players()
    assert count == 1 and "This clip is not published any more." in text and "withdrawn" not in text
    # The clips of another training set are not published by this one.
    made(
        tables,
        checkpoint="audioldm_wavcaps/audio",
        nearest_clip_id="audiocaps-1",
        nearest_audio_path="audio/near.flac",
        nearest_caption="What was withdrawn.",
    )
    count, text = players()
    assert count == 2 and "What was withdrawn." in text


def test_sounds_of_older_weights_say_so(tables: TableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tables)
    for weights, older in (("b", False), (None, False), ("trained again", True)):
        monkeypatch.setattr(
            "wavcaps_training.report.generated_sounds.current_weights", lambda *_, now=weights: now
        )
        page = Page(render_report(collect(tables, SOURCES, DEMO_EXPERIMENT)))
        assert ("trained again since these sounds were made" in page.text) == older


def test_a_tone_is_a_line_in_the_spectrogram() -> None:
    from io import BytesIO

    from matplotlib.image import imread

    # 4 kHz of 8 kHz: in the middle of the picture.
    uri = spectrogram(np.sin(2 * np.pi * 4000 / 16_000 * np.arange(32_000)).astype(np.float32))
    image = imread(BytesIO(b64decode(uri.partition(",")[2])))[..., :3].sum(axis=2)
    brightest = image.mean(axis=1).argmax()
    assert abs(brightest / image.shape[0] - 0.5) < 0.02
    assert spectrogram(np.zeros(10, np.float32)) == ""
