"""Measures a signal block by block."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from wavcaps_assets.audio.blocks import SAMPLE_RATE, Samples

# A 16-bit sample of this amplitude would have 0 dBFS.
FULL_SCALE = 32_768
# 20 ms frames; a level 60 dB below full scale is not heard next to other sounds.
SILENCE_FRAME = SAMPLE_RATE // 50
SILENCE_DBFS = -60.0
# 32 ms: bands of 31.25 Hz.
SPECTRUM_FRAME = 1024
BAND_HZ = SAMPLE_RATE / SPECTRUM_FRAME
# Bands within this range of the strongest count (dB); lossy encoders cut off well below it.
BAND_RANGE_DB = 60.0
# The bands below contain a constant offset, which the window spreads over two bands.
LOWEST_BAND = 2
# A whole number of frames of both kinds.
STEP = math.lcm(SILENCE_FRAME, SPECTRUM_FRAME)


def hann(length: int) -> Samples:
    """A periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


WINDOW = hann(SPECTRUM_FRAME)
# The power of 16-bit rounding noise in each band of a frame; anything weaker is not signal.
ROUNDING_POWER = float(np.square(WINDOW, dtype=np.float64).sum()) / 12


class Measures:
    """Converts a signal to 16 bits and measures it in constant memory."""

    def __init__(self) -> None:
        self.frames = 0
        self._peak = 0
        self._digest = hashlib.sha256()
        self._energy = 0.0
        self._silent = 0
        self._silence_frames = 0
        self._power = np.zeros(SPECTRUM_FRAME // 2 + 1)
        self._spectra = 0
        self._held = np.zeros(0, dtype=np.float32)

    def add(self, signal: Samples) -> NDArray[np.int16]:
        """Measures a piece of the signal (mono, 32 kHz, where 1 is full scale), and returns it in 16 bits.

        Values beyond full scale are clipped.
        """
        scaled = np.clip(signal, -1, 1 - 1 / FULL_SCALE) * np.float32(FULL_SCALE)
        whole: NDArray[np.int16] = np.rint(scaled).astype(np.int16)
        if len(whole):
            self.frames += len(whole)
            self._peak = max(self._peak, int(whole.max()), -int(whole.min()))
            self._digest.update(whole.data)
            self._held = np.concatenate([self._held, scaled])
            ready = len(self._held) // STEP * STEP
            self._measure(self._held[:ready])
            self._held = self._held[ready:]
        return whole

    def end(self) -> None:
        """Measures the rest. Call it once, after the last piece."""
        whole = len(self._held) // SILENCE_FRAME * SILENCE_FRAME
        self._measure_levels(self._held[:whole])
        if len(self._held) > whole:
            self._measure_levels(self._held[whole:], frame=len(self._held) - whole)
        whole = len(self._held) // SPECTRUM_FRAME * SPECTRUM_FRAME
        self._measure_spectrum(self._held[:whole])
        if self.frames < SPECTRUM_FRAME:
            # Under a longer window, the end of the signal would look like a click.
            padded = np.pad(self._held, (0, SPECTRUM_FRAME - self.frames))
            self._measure_spectrum(padded, hann(self.frames))

    @property
    def peak_dbfs(self) -> float:
        return dbfs(self._peak)

    @property
    def rms_dbfs(self) -> float:
        return dbfs(math.sqrt(self._energy / self.frames)) if self._peak else -math.inf

    @property
    def silence_share(self) -> float:
        return self._silent / self._silence_frames

    @property
    def bandwidth_hz(self) -> float:
        power = self._power[LOWEST_BAND:]
        strongest = float(power.max())
        if strongest <= ROUNDING_POWER * self._spectra:
            return 0.0
        within = np.flatnonzero(power >= strongest * 10 ** (-BAND_RANGE_DB / 10))
        return float(within[-1] + LOWEST_BAND) * BAND_HZ

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def _measure(self, signal: Samples) -> None:
        self._measure_levels(signal)
        self._measure_spectrum(signal)

    def _measure_levels(self, signal: Samples, frame: int = SILENCE_FRAME) -> None:
        frames = signal.reshape(-1, frame)
        energies = np.einsum("ij,ij->i", frames, frames).astype(np.float64)
        self._energy += float(energies.sum())
        self._silent += int((energies < frame * (FULL_SCALE * 10 ** (SILENCE_DBFS / 20)) ** 2).sum())
        self._silence_frames += len(frames)

    def _measure_spectrum(self, signal: Samples, window: Samples = WINDOW) -> None:
        frames = signal.reshape(-1, SPECTRUM_FRAME)[:, : len(window)] * window
        spectra = np.fft.rfft(frames, SPECTRUM_FRAME)
        self._power += np.einsum("ij,ij->j", spectra.real, spectra.real)
        self._power += np.einsum("ij,ij->j", spectra.imag, spectra.imag)
        self._spectra += len(frames)


def dbfs(amplitude: float) -> float:
    """A level in dB below full scale (dBFS); -inf for zero."""
    return 20 * math.log10(amplitude / FULL_SCALE) if amplitude else -math.inf
