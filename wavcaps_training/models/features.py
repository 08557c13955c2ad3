"""The log-mel front end: waveforms in, decibels out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from wavcaps_training.models.loading import ignore_on_load
from wavcaps_training.settings.encoder import FrontEndSettings

FLOOR = 1e-10  # power below which a mel bin counts as silent: -100 dB


def mel_filters(settings: FrontEndSettings) -> Tensor:
    """(frequencies, mel bins), on Slaney's scale and area-normalised."""
    filters = mel_filter_bank(
        num_frequency_bins=settings.window // 2 + 1,
        num_mel_filters=settings.mel_bins,
        min_frequency=settings.f_min,
        max_frequency=settings.f_max,
        sampling_rate=settings.sample_rate,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.tensor(filters, dtype=torch.float32)


class LogMel(nn.Module):
    """Log-mel spectrogram of a waveform, in dB relative to 1.

    Power spectrum of a centred, reflect-padded STFT with a periodic Hann window, mel filters on
    Slaney's scale with area normalisation, 10 log10 with a floor of -100 dB and no other clipping:
    what torchlibrosa computes for the released models, but by an FFT instead of frozen convolutions. The
    released checkpoints contain the kernels of those convolutions; they are accepted and ignored.
    """

    window: Tensor
    mel_filters: Tensor

    def __init__(self, settings: FrontEndSettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("window", torch.hann_window(settings.window), persistent=False)
        self.register_buffer("mel_filters", mel_filters(settings), persistent=False)
        ignore_on_load(
            self, "mel_trans.stft.conv_real.weight", "mel_trans.stft.conv_imag.weight", "log_trans.melW"
        )

    def forward(self, waveform: Tensor) -> Tensor:
        """Log-mel of a batch, in 32 bits: in 16 bits the floor would be 0, and its logarithm infinite.

        Args:
            waveform: (batch, samples), in [-1, 1], longer than half a window.

        Returns:
            (batch, 1, samples // hop + 1, mel bins), in dB.
        """
        # Clip by clip on a CPU: the spectra of one clip stay in its cache, and those of a batch do not.
        pieces = waveform.split(1) if waveform.is_cpu else (waveform,)
        with torch.autocast(waveform.device.type, enabled=False):
            mel = torch.cat([self.mel_power(piece.float()) for piece in pieces])
            return 10 * torch.log10(mel.clamp(min=FLOOR)).unsqueeze(1)

    def mel_power(self, waveform: Tensor) -> Tensor:
        """(batch, samples) to (batch, frames, mel bins): the power in each."""
        spectrum = torch.stft(
            waveform,
            n_fft=self.settings.window,
            hop_length=self.settings.hop,
            window=self.window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        # The real and the imaginary part of each bin are adjacent; the filters add up their squares.
        parts = torch.view_as_real(spectrum.transpose(1, 2)).flatten(2)
        return parts.square() @ self.mel_filters.repeat_interleave(2, dim=0)
