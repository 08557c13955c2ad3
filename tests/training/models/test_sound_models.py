"""AudioLDM's parts against the facts of its code (shapes, counts, schedule) and against diffusers' own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio
from diffusers import DDIMScheduler
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from transformers import (
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
)

from tests.support.audioldm_pipeline import pipeline_of
from tests.support.paths import SHARED
from tests.training.small_models import SMALL_AUTOENCODER, SMALL_GENERATOR
from wavcaps_training.checkpoints.audioldm import audioldm_weights, load_audioldm
from wavcaps_training.checkpoints.safe_files import ReleasedCheckpointError
from wavcaps_training.models.latent_diffusion import LatentDiffusion, MovingAverage, ddim, variances
from wavcaps_training.models.sound_autoencoder import SoundAutoencoder, normalised, vae_config
from wavcaps_training.settings.generation import (
    AutoencoderSettings,
    GeneratorSettings,
    LatentScale,
    Predicted,
    SamplingSettings,
    ScheduleSettings,
    UNetSettings,
)

FACTS = SHARED / "facts" / "keys"
needs_facts = pytest.mark.skipif(not FACTS.is_dir(), reason="the lists of AudioLDM's keys are not here")


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def keys_of(name: str, prefix: str = "") -> dict[str, torch.Tensor]:
    """The keys of a released part, with tensors of their shapes that hold nothing."""
    lines = (line.split(" ", 1) for line in (FACTS / name).read_text().splitlines() if line.strip())
    return {
        prefix + key: torch.empty([int(size) for size in re.findall(r"\d+", shape)], device="meta")
        for key, shape in lines
    }


def test_parameter_counts_are_those_of_audioldm() -> None:
    with torch.device("meta"):
        ours = LatentDiffusion(GeneratorSettings())
        theirs = LatentDiffusion(GeneratorSettings(condition_dim=512))
    # Measured on the released network; WavCaps' wider condition adds 512 x 512 weights.
    assert count(theirs.unet) == 185_036_552
    assert count(ours.unet) == 185_298_696
    assert count(ours.autoencoder.vae) == 55_376_873
    assert count(ours.autoencoder.vocoder) == 55_264_897


@pytest.mark.parametrize(
    ("unet", "parameters"),
    [
        (UNetSettings(channels=192), 415_954_568),
        (UNetSettings(channels=256, head_dim=64), 739_139_080),
    ],
)
def test_larger_sizes_have_the_counts_of_audioldm(unet: UNetSettings, parameters: int) -> None:
    with torch.device("meta"):
        model = LatentDiffusion(GeneratorSettings(unet=unet, condition_dim=512))
    assert count(model.unet) == parameters


@needs_facts
def test_every_released_key_has_its_place() -> None:
    with torch.device("meta"):
        model = LatentDiffusion(GeneratorSettings(condition_dim=512))
    unet = keys_of("keys_unet_s.txt", "model.diffusion_model.")
    converted = convert_ldm_unet_checkpoint(unet, dict(model.unet.config))
    film = {
        f"class_embedding.{end}": unet[f"model.diffusion_model.film_emb.{end}"] for end in ("weight", "bias")
    }
    expected = {name: value.shape for name, value in model.unet.state_dict().items()}
    assert {name: value.shape for name, value in {**converted, **film}.items()} == expected

    stored = {
        **keys_of("keys_vae.txt", "first_stage_model."),
        **keys_of("keys_hifigan.txt", "first_stage_model.vocoder."),
    }
    found = audioldm_weights(stored, Path("audioldm-s-full"), vae_config(AutoencoderSettings()))
    wanted = {name: value.shape for name, value in model.autoencoder.state_dict().items()}
    constants = {"vocoder.mean": torch.Size([64]), "vocoder.scale": torch.Size([64])}
    assert {name: value.shape for name, value in found.items()} | constants == wanted


def test_the_schedule_is_that_of_audioldm() -> None:
    found = variances(ScheduleSettings())
    np.testing.assert_allclose(found, np.linspace(0.0015**0.5, 0.0195**0.5, 1000) ** 2, rtol=1e-12)
    assert found[0] == pytest.approx(0.0015) and found[-1] == pytest.approx(0.0195)
    scheduler = ddim(ScheduleSettings())
    scheduler.set_timesteps(200)
    assert sorted(scheduler.timesteps.tolist()) == list(range(1, 1000, 5))
    # diffusers' own, in 32 bits.
    own = DDIMScheduler(beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear")
    torch.testing.assert_close(scheduler.alphas_cumprod, own.alphas_cumprod, rtol=1e-4, atol=1e-6)


def test_one_step_of_the_sampler_is_the_formula_of_ddim() -> None:
    scheduler = ddim(ScheduleSettings())
    scheduler.set_timesteps(200)
    latent, noise, added = torch.randn(3, 1, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    alphas = np.cumprod(1 - np.linspace(0.0015**0.5, 0.0195**0.5, 1000) ** 2)
    for now, before in ((996, alphas[991]), (1, alphas[0])):
        share = alphas[now]
        sigma = ((1 - before) / (1 - share) * (1 - share / before)) ** 0.5
        clean = (latent - (1 - share) ** 0.5 * noise) / share**0.5
        expected = before**0.5 * clean + (1 - before - sigma**2) ** 0.5 * noise + sigma * added
        found = scheduler.step(noise, now, latent, eta=1.0, variance_noise=added).prev_sample
        torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-4)


def test_shapes_are_those_of_ten_seconds() -> None:
    settings = AutoencoderSettings()
    assert settings.latent_shape(10.24) == (8, 256, 16)
    model = SoundAutoencoder(SMALL_AUTOENCODER)
    waveform = torch.randn(2, 163_840, generator=torch.Generator().manual_seed(0)) * 0.1
    log_mel = model.log_mel(waveform)
    assert log_mel.shape == (2, 1, 1024, 64)
    mean, deviation = model.moments(log_mel)
    assert mean.shape == deviation.shape == (2, *SMALL_AUTOENCODER.latent_shape(10.24))
    assert model.decode(mean).shape == log_mel.shape
    # torchaudio computes the same spectrogram of the same padded samples.
    padded = torch.nn.functional.pad(waveform.unsqueeze(1), (432, 432), mode="reflect")[:, 0]
    theirs = torchaudio.transforms.MelSpectrogram(
        16_000, 1024, hop_length=160, f_max=8000.0, n_mels=64, power=1.0, center=False, norm="slaney",
        mel_scale="slaney",
    )  # fmt: skip
    expected = theirs(padded).clamp(min=1e-5).log().transpose(1, 2)
    torch.testing.assert_close(log_mel[:, 0], expected, rtol=1e-3, atol=1e-3)


def test_hifi_gan_gives_32_samples_more_than_the_frames() -> None:
    with torch.device("meta"):
        vocoder = SoundAutoencoder(AutoencoderSettings()).vocoder
        # The padding, (16 - 5) // 2, rounds down in the first of its layers.
        assert vocoder(torch.zeros(1, 8, 64)).shape == (1, 160 * 8 + 32)


def test_griffin_lim_keeps_the_pitch_and_the_length() -> None:
    model = SoundAutoencoder(SMALL_AUTOENCODER)
    time = torch.arange(32_000) / 16_000
    tone = normalised(torch.sin(2 * torch.pi * 1000 * time))
    heard = model.waveform(model.log_mel(tone.unsqueeze(0)))[0]
    assert heard.shape == tone.shape
    spectrum = torch.fft.rfft(heard).abs()
    assert abs(float(spectrum.argmax()) / 2 - 1000) < 20
    assert float(tone.abs().max()) == pytest.approx(0.5, abs=1e-3)


def test_samples_are_those_of_the_pipeline_of_diffusers() -> None:
    """The same parts, noise and embeddings give the same latent in diffusers' own AudioLDM pipeline."""
    torch.manual_seed(3)
    model = LatentDiffusion(SMALL_GENERATOR).eval()
    model.scale.fill_(1.0)
    with torch.no_grad():
        for parameter in model.unet.parameters():
            parameter.normal_(std=0.05)
    model.ema = MovingAverage(model.unet)
    rates: dict[str, Any] = {
        "upsample_rates": [10, 16],
        "upsample_kernel_sizes": [20, 32],
        "upsample_initial_channel": 16,
    }
    vocoder = SpeechT5HifiGan(SpeechT5HifiGanConfig(model_in_dim=64, normalize_before=False, **rates)).eval()
    width = SMALL_GENERATOR.condition_dim
    pipeline = pipeline_of(model, vocoder)
    # 1.28 s: the pipeline gives the latent a length that the U-Net can halve.
    noise = torch.randn(1, *SMALL_AUTOENCODER.latent_shape(1.28), generator=torch.Generator().manual_seed(5))
    condition = torch.nn.functional.normalize(torch.randn(1, width))
    theirs = pipeline(
        audio_length_in_s=1.28,
        num_inference_steps=4,
        guidance_scale=2.5,
        eta=0.0,
        latents=noise,
        prompt_embeds=condition,
        negative_prompt_embeds=torch.zeros(1, width),
    ).audios
    latent = model.sample(condition, noise, SamplingSettings(steps=4, eta=0.0), [7])
    with torch.no_grad():
        ours = vocoder(model.autoencoder.vae.decode(latent).sample[:, 0])
    assert (latent - noise).abs().max() > 0.1
    np.testing.assert_allclose(ours[:, : theirs.shape[1]].numpy(), theirs, atol=1e-3 * abs(theirs).max())


def test_channels_that_differ_get_one_variance() -> None:
    model = LatentDiffusion(SMALL_GENERATOR.model_copy(update={"latent_scale": LatentScale.CHANNEL}))
    channels = SMALL_AUTOENCODER.latent_channels
    offset, size = torch.arange(channels).view(-1, 1, 1), 10.0 ** -torch.arange(channels).view(-1, 1, 1)
    generator = torch.Generator().manual_seed(1)
    mean = offset + 3 * size * torch.randn(16, channels, 32, 8, generator=generator)
    # The draws add their own variance: 3 x 3 + 4 x 4 = 5 x 5.
    deviation = (4 * size).expand_as(mean)
    model.set_scale(mean, deviation)
    drawn = model.scaled(mean + deviation * torch.randn(mean.shape, generator=generator))
    torch.testing.assert_close(model.shift.flatten(), offset.flatten().float(), atol=0.2, rtol=0)
    torch.testing.assert_close(model.scale.flatten(), 1 / (5 * size.flatten()), atol=0, rtol=0.05)
    torch.testing.assert_close(drawn.std((0, 2, 3)), torch.ones(channels), atol=0.05, rtol=0)


@pytest.mark.parametrize("predicted", Predicted)
def test_a_network_that_knows_the_latent_samples_it(
    predicted: Predicted, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {"schedule": ScheduleSettings(predicted=predicted), "latent_scale": LatentScale.CHANNEL}
    model = LatentDiffusion(SMALL_GENERATOR.model_copy(update=changed)).eval()
    model.shift.fill_(7.0)
    model.scale.fill_(0.5)
    generator = torch.Generator().manual_seed(5)
    known = torch.randn(2, *SMALL_AUTOENCODER.latent_shape(1.28), generator=generator)

    def predict(noisy: torch.Tensor, step: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        share = model.schedule.alphas_cumprod[step].view(-1, 1, 1, 1)
        repeated = known.repeat(len(noisy) // 2, 1, 1, 1)
        noise = (noisy - share.sqrt() * repeated) / (1 - share).sqrt()
        if predicted is Predicted.NOISE:
            return noise
        # Salimans and Ho, https://arxiv.org/abs/2202.00512, appendix D.
        velocity = share.sqrt() * noise - (1 - share).sqrt() * repeated
        torch.testing.assert_close(model.target(repeated, noise, step), velocity)
        return velocity

    monkeypatch.setattr(model, "predict", predict)
    latent = model.sample(
        torch.zeros(2, 16), torch.randn(known.shape, generator=generator), SamplingSettings(steps=50), [1, 2]
    )
    # All but 0.15 % of the power is the latent's; no noise is added at the end.
    torch.testing.assert_close(model.scaled(latent), known, atol=0.2, rtol=0)


def test_a_moving_average_rises_with_the_steps() -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    average = MovingAverage(module)
    torch.nn.init.ones_(module.weight)
    expected = 0.0
    for count_ in range(3):
        average.update(module, 0.9999)
        decay = (1 + count_) / (10 + count_)
        expected = decay * expected + (1 - decay)
        assert float(average.of(module)["weight"]) == pytest.approx(expected)
    with average.applied_to(module):
        assert module.weight.item() == pytest.approx(expected)
    assert module.weight.item() == 1.0


def test_a_released_autoencoder_of_another_shape_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"model.diffusion_model.x": torch.zeros(1)}}, tmp_path / "unet.ckpt")
    with pytest.raises(ReleasedCheckpointError, match="has no autoencoder"):
        load_audioldm(tmp_path / "unet.ckpt", SoundAutoencoder(SMALL_AUTOENCODER))
