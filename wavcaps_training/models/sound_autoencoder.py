"""The autoencoder of log-mel spectrograms and the vocoder: AudioLDM's, from diffusers and transformers."""

from __future__ import annotations

from typing import Any

import torch
import torchaudio
from diffusers import AutoencoderKL
from torch import Tensor, nn
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from wavcaps_training.models.features import mel_filters
from wavcaps_training.settings.encoder import FrontEndSettings
from wavcaps_training.settings.generation import AutoencoderSettings, AutoencoderTrainingSettings, Vocoder

FLOOR = 1e-5  # magnitude below which a mel bin counts as silent
PEAK = 0.5  # of a normalised waveform
GRIFFIN_LIM_ITERATIONS = 64
# Of latents, as long as an autoencoder with a linear path has learned nothing.
FIRST_LOG_VARIANCE = -8.0


class LogMel(nn.Module):
    """AudioLDM's log-mel, as its training computes it: one frame each `hop` samples, none at the end."""

    window: Tensor
    mel_filters: Tensor

    def __init__(self, front_end: FrontEndSettings) -> None:
        super().__init__()
        self.front_end = front_end
        self.register_buffer("window", torch.hann_window(front_end.window), persistent=False)
        self.register_buffer("mel_filters", mel_filters(front_end), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples), a multiple of `hop`, to (batch, 1, samples // hop, mel bins)."""
        front_end = self.front_end
        edge = (front_end.window - front_end.hop) // 2
        with torch.autocast(waveform.device.type, enabled=False):
            padded = nn.functional.pad(waveform.float().unsqueeze(1), (edge, edge), mode="reflect").squeeze(1)
            spectrum = torch.stft(
                padded,
                n_fft=front_end.window,
                hop_length=front_end.hop,
                window=self.window,
                center=False,
                return_complex=True,
            )
            # As AudioLDM: a sum that keeps the gradient of silence finite.
            magnitude = (torch.view_as_real(spectrum).square().sum(-1) + 1e-9).sqrt()
            mel = magnitude.transpose(1, 2) @ self.mel_filters
            return mel.clamp(min=FLOOR).log().unsqueeze(1)


class SoundAutoencoder(nn.Module):
    """Waveforms to latents, and latents to waveforms.

    Attributes:
        log_mel: waveforms (batch, samples) to natural logarithms of magnitudes (batch, 1, frames, mel bins).
        vae: `AutoencoderKL`, with AudioLDM's sizes 55,376,873 parameters.
        vocoder: `SpeechT5HifiGan`, with 55,264,897 parameters; or `GriffinLim`, with none.
    """

    def __init__(self, settings: AutoencoderSettings) -> None:
        super().__init__()
        self.settings = settings
        front_end = settings.front_end
        self.log_mel = LogMel(front_end)
        self.vae = AutoencoderKL(**vae_config(settings))
        self.linear = LinearPath(settings.patch, settings.latent_channels) if settings.linear_path else None
        if self.linear is not None:
            silence(self.vae)
        self.vocoder: nn.Module
        if settings.vocoder is Vocoder.HIFI_GAN:
            self.vocoder = SpeechT5HifiGan(hifi_gan_config(front_end))
        else:
            self.vocoder = GriffinLim(front_end, self.log_mel.mel_filters)

    @classmethod
    def build(cls, settings: AutoencoderTrainingSettings) -> SoundAutoencoder:
        """An autoencoder with fresh weights."""
        return cls(settings.model.audio)

    def moments(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latents of spectrograms.

        Args:
            log_mel: (batch, 1, frames, mel bins).

        Returns:
            Two tensors (batch, latent channels, frames / reduction, mel bins / reduction).
        """
        patches = nn.functional.pixel_unshuffle(self._normalised(log_mel), self.settings.patch)
        posterior = self.vae.encode(patches).latent_dist
        mean = posterior.mean if self.linear is None else posterior.mean + self.linear.encode(patches)
        return mean, posterior.std

    def decode(self, latent: Tensor) -> Tensor:
        """(batch, latent channels, frames, bins) to a log-mel (batch, 1, frames, mel bins)."""
        patches: Tensor = self.vae.decode(latent).sample
        if self.linear is not None:
            patches = patches + self.linear.decode(latent)
        mel = nn.functional.pixel_shuffle(patches, self.settings.patch)
        return mel * self.settings.mel_std + self.settings.mel_mean

    def waveform(self, log_mel: Tensor) -> Tensor:
        """(batch, 1, frames, mel bins) to (batch, samples); HiFi-GAN gives 32 samples more than that."""
        return self.vocoder(log_mel[:, 0])

    def _normalised(self, log_mel: Tensor) -> Tensor:
        return (log_mel - self.settings.mel_mean) / self.settings.mel_std


class LinearPath(nn.Module):
    """Patches to latents and back by linear maps, which begin as a discrete cosine transform.

    The first channel is the mean of the patch. The others are the coefficients with the lowest frequencies.

    Args:
        patch: length of a patch's sides.
        channels: of the latent.
    """

    def __init__(self, patch: int, channels: int) -> None:
        super().__init__()
        waves = torchaudio.functional.create_dct(patch, patch, norm="ortho")
        both = torch.einsum("tu,fv->uvtf", waves, waves)
        order = sorted((u + v, u, v) for u in range(patch) for v in range(patch))
        basis = torch.stack([both[u, v].flatten() for _, u, v in order[:channels]])
        sizes = torch.ones(channels, 1)
        sizes[0] = patch
        self.encode = nn.Conv2d(patch**2, channels, 1, bias=False)
        self.decode = nn.Conv2d(channels, patch**2, 1, bias=False)
        with torch.no_grad():
            self.encode.weight.copy_((basis / sizes)[..., None, None])
            self.decode.weight.copy_((basis * sizes).T[..., None, None])


@torch.no_grad()
def silence(vae: AutoencoderKL) -> None:
    """Lets an autoencoder begin with a mean and a spectrogram of zeros, and a small deviation."""
    for layer in (vae.encoder.conv_out, vae.decoder.conv_out, vae.quant_conv):
        layer.bias.zero_()
    vae.encoder.conv_out.weight.zero_()
    vae.decoder.conv_out.weight.zero_()
    vae.quant_conv.bias.chunk(2)[1].fill_(FIRST_LOG_VARIANCE)


class GriffinLim(nn.Module):
    """A vocoder without weights: magnitudes by least squares, phases by torchaudio's Griffin-Lim."""

    inverse: Tensor

    def __init__(self, front_end: FrontEndSettings, filters: Tensor) -> None:
        super().__init__()
        self.register_buffer("inverse", torch.linalg.pinv(filters), persistent=False)
        self.phases = torchaudio.transforms.GriffinLim(
            n_fft=front_end.window,
            hop_length=front_end.hop,
            power=1.0,
            n_iter=GRIFFIN_LIM_ITERATIONS,
            # A random start would give each call another sound.
            rand_init=False,
        )
        self.phases.register_buffer("window", torch.hann_window(front_end.window), persistent=False)

    def forward(self, log_mel: Tensor) -> Tensor:
        """(batch, frames, mel bins) to (batch, frames * hop): the last frame ends where the sound does."""
        magnitude = (log_mel.float().exp() @ self.inverse).clamp(min=0).transpose(1, 2)
        # Frames of torchaudio are centred: one more at the end makes them span all samples.
        return self.phases(nn.functional.pad(magnitude, (0, 1), mode="replicate"))


def normalised(waveform: Tensor) -> Tensor:
    """A waveform without offset, with the peak 0.5: what AudioLDM is trained on.

    Args:
        waveform: (samples,).
    """
    centred = waveform - waveform.mean()
    return centred / (centred.abs().max() + 1e-8) * PEAK


def vae_config(settings: AutoencoderSettings) -> dict[str, Any]:
    """The arguments of diffusers' `AutoencoderKL`."""
    levels = len(settings.multipliers)
    return {
        "in_channels": settings.patch**2,
        "out_channels": settings.patch**2,
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "block_out_channels": tuple(settings.channels * multiplier for multiplier in settings.multipliers),
        "layers_per_block": settings.blocks,
        "latent_channels": settings.latent_channels,
        "norm_num_groups": settings.groups,
        "mid_block_add_attention": settings.middle_attention,
    }


def hifi_gan_config(front_end: FrontEndSettings) -> SpeechT5HifiGanConfig:
    """AudioLDM's HiFi-GAN for 16 kHz."""
    return SpeechT5HifiGanConfig(
        model_in_dim=front_end.mel_bins,
        sampling_rate=front_end.sample_rate,
        upsample_initial_channel=1024,
        upsample_rates=[5, 4, 2, 2, 2],
        upsample_kernel_sizes=[16, 16, 8, 4, 4],
        resblock_kernel_sizes=[3, 7, 11],
        resblock_dilation_sizes=[[1, 3, 5]] * 3,
        leaky_relu_slope=0.1,
        normalize_before=False,
    )
