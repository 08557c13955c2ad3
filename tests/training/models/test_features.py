"""The front end gives the released code's numbers."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from wavcaps_training.models.features import LogMel
from wavcaps_training.models.spec_augment import drawn_stripes, spec_augment, stripes
from wavcaps_training.models.text import clean_caption
from wavcaps_training.settings.encoder import FrontEndSettings, SpecAugmentSettings

LOG_MEL_TOLERANCE_DB = 5e-4


@pytest.fixture(scope="module")
def log_mel() -> LogMel:
    return LogMel(FrontEndSettings())


def test_log_mel_of_ten_second_clips(oracles: Path, fill: ModuleType, log_mel: LogMel) -> None:
    expected = np.load(oracles / "frontend.npz")["logmel_10s"]
    clips = np.stack([fill.wave(clip, 320_000) for clip in (0, 1)])
    np.testing.assert_allclose(log_mel(torch.tensor(clips)), expected, atol=LOG_MEL_TOLERANCE_DB, rtol=0)


def test_log_mel_of_an_impulse(oracles: Path, log_mel: LogMel) -> None:
    expected = np.load(oracles / "frontend.npz")["logmel_impulse"]
    impulse = torch.zeros(1, 32_000)
    impulse[0, 16_000] = 1
    np.testing.assert_allclose(log_mel(impulse), expected, atol=LOG_MEL_TOLERANCE_DB, rtol=0)


def test_mel_filters(oracles: Path, log_mel: LogMel) -> None:
    np.testing.assert_allclose(
        log_mel.mel_filters, np.load(oracles / "frontend.npz")["melW"], atol=1e-7, rtol=0
    )


def test_silence_is_the_floor(log_mel: LogMel) -> None:
    assert log_mel(torch.zeros(1, 32_000)).unique().tolist() == [-100.0]


def test_frames_of_a_length(oracles: Path, log_mel: LogMel) -> None:
    for samples, frames in np.load(oracles / "frontend.npz")["n_frames"].tolist():
        assert log_mel(torch.zeros(1, samples)).shape == (1, 1, frames, 64)
        assert FrontEndSettings().frames(samples) == frames


def test_spec_augment_masks_what_torchlibrosa_masks(oracles: Path) -> None:
    expected = np.load(oracles / "specaugment.npz")
    torch.manual_seed(1234)
    kept = spec_augment(torch.ones(3, 1, 1001, 64), SpecAugmentSettings()) == 1
    assert np.array_equal(kept.any(dim=3)[:, 0], expected["time_mask"])
    assert np.array_equal(kept.any(dim=2)[:, 0], expected["freq_mask"])


def test_stripes_of_one_draw_have_the_distribution_of_single_draws() -> None:
    """As on a GPU. A stripe of each width is as likely as another, and of each start that fits."""
    torch.manual_seed(0)
    length, width, clips = 12, 5, 40_000
    masked = drawn_stripes(torch.rand(2, clips, 1), length, width)
    widths = masked.sum(dim=1)
    assert np.allclose(np.bincount(widths, minlength=width) / clips, 1 / width, atol=0.01)
    for drawn in range(1, width):
        starts = masked[widths == drawn].int().argmax(dim=1)
        # As in `stripes`, the last start that would fit is never drawn.
        places = length - drawn
        assert np.allclose(np.bincount(starts) / len(starts), 1 / places, atol=0.02)
        assert int(starts.max()) == places - 1
    two = stripes(4000, length, width, 2).float().mean(dim=0)
    drawn_two = drawn_stripes(torch.rand(2, 4000, 2), length, width).float().mean(dim=0)
    assert np.allclose(drawn_two, two, atol=0.04)
    assert not drawn_stripes(torch.rand(2, 3, 2), length, 0).any()


def test_caption_cleaning(oracles: Path) -> None:
    for raw, cleaned in json.loads((oracles / "training_utils.json").read_text())["text_preprocess"]:
        assert clean_caption(raw) == cleaned


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bit_training_has_the_same_log_mel(dtype: torch.dtype) -> None:
    """In 16 bits the floor of 1e-10 would be 0, and silence minus infinity."""
    front_end = LogMel(FrontEndSettings())
    waveform = torch.zeros(2, 16_000)
    waveform[1] = torch.sin(torch.arange(16_000) / 10) / 2
    expected = front_end(waveform)
    assert expected[0].max() == -100
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(front_end(waveform), expected)
