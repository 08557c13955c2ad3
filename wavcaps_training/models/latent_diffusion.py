"""The latent diffusion model of AudioLDM (section IV.D, equation 5), from the parts of diffusers.

Its condition is a unit vector of a retrieval model, which is joined to the embedding of the time step and so
reaches every residual block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn

from wavcaps_training.models.sound_autoencoder import SoundAutoencoder
from wavcaps_training.settings.generation import (
    GenerationTrainingSettings,
    GeneratorSettings,
    LatentScale,
    Predicted,
    SamplingSettings,
    ScheduleSettings,
    UNetSettings,
)

# The names that diffusers gives them.
PREDICTION_TYPES = {Predicted.NOISE: "epsilon", Predicted.VELOCITY: "v_prediction"}


class LatentDiffusion(nn.Module):
    """Predicts the noise in a latent, or its velocity, and makes latents from noise.

    Attributes:
        unet: the network that is trained; AudioLDM-S's sizes with a condition of width 1024 give 185,298,696
            parameters.
        ema: the moving average of its weights, which samples.
        autoencoder: frozen.
        schedule: adds the noise of a step, while training.
        shift, scale: latents minus `shift`, times `scale`, have a standard deviation of 1. (), or
            (channels, 1, 1) with a scale for each channel. A scale of 0 is not set yet.
        no_condition: the embedding of the empty text, which stands for no condition.
    """

    shift: Tensor
    scale: Tensor
    no_condition: Tensor

    def __init__(self, settings: GeneratorSettings) -> None:
        super().__init__()
        self.settings = settings
        self.unet = UNet2DConditionModel(**unet_config(settings.unet, settings))
        self.ema = MovingAverage(self.unet)
        self.autoencoder = SoundAutoencoder(settings.audio).requires_grad_(False)
        by_channel = settings.latent_scale is LatentScale.CHANNEL
        shape = (settings.audio.latent_channels, 1, 1) if by_channel else ()
        self.register_buffer("shift", torch.zeros(shape))
        self.register_buffer("scale", torch.zeros(shape))
        self.register_buffer("no_condition", torch.zeros(settings.condition_dim))
        self.schedule = ddim(settings.schedule)

    @classmethod
    def build(cls, settings: GenerationTrainingSettings) -> LatentDiffusion:
        """A model with fresh weights."""
        return cls(settings.model)

    def train(self, mode: bool = True) -> LatentDiffusion:
        """As in any module, but the frozen autoencoder stays in evaluation mode."""
        super().train(mode)
        self.autoencoder.eval()
        return self

    def set_scale(self, mean: Tensor, deviation: Tensor) -> None:
        """Sets the scale by the first clips' latents, which AudioLDM draws; this is the expectation of it.

        Args:
            mean: (clips, channels, frames, bins).
            deviation: of the distributions that latents are drawn from, the same shape.
        """
        if self.scale.dim():
            axes = (0, 2, 3)
            variance = mean.var(axes, keepdim=True) + deviation.square().mean(axes, keepdim=True)
            self.shift.copy_(mean.mean(axes, keepdim=True)[0])
            self.scale.copy_(variance.rsqrt()[0])
        else:
            self.scale.copy_((mean.var() + deviation.square().mean()).rsqrt())

    def scaled(self, latent: Tensor) -> Tensor:
        """Latents in the scale of the noise, (batch, channels, frames, bins)."""
        return (latent - self.shift) * self.scale

    def predict(self, latent: Tensor, step: Tensor, condition: Tensor) -> Tensor:
        """The noise in noisy latents, or their velocity: what `settings.schedule.predicted` says.

        Args:
            latent: (batch, channels, frames, bins).
            step: (batch,), how noisy they are: 0 to 999.
            condition: (batch, condition_dim).
        """
        predicted: Tensor = self.unet(
            latent, step, encoder_hidden_states=None, class_labels=condition, return_dict=False
        )[0]
        return predicted

    def noisy(self, latent: Tensor, noise: Tensor, step: Tensor) -> Tensor:
        """Latents with the noise of a step, (batch, channels, frames, bins)."""
        return self.schedule.add_noise(latent, noise, step)

    def target(self, latent: Tensor, noise: Tensor, step: Tensor) -> Tensor:
        """What the network has to predict, (batch, channels, frames, bins)."""
        if self.settings.schedule.predicted is Predicted.NOISE:
            return noise
        return self.schedule.get_velocity(latent, noise, step)

    def loss(self, latent: Tensor, condition: Tensor, noise: Tensor, step: Tensor) -> Tensor:
        """Mean squared error of what is predicted (equation 5) of each latent: (batch,)."""
        predicted = self.predict(self.noisy(latent, noise, step), step, condition)
        return (predicted.float() - self.target(latent, noise, step).float()).square().flatten(1).mean(1)

    @torch.no_grad()
    def sample(
        self, condition: Tensor, noise: Tensor, settings: SamplingSettings, seeds: list[int]
    ) -> Tensor:
        """Latents by DDIM with classifier-free guidance, in the autoencoder's own scale.

        Args:
            condition: (batch, condition_dim).
            noise: (batch, channels, frames, bins), standard normal.
            settings: of the sampler.
            seeds: one for each latent, for the noise that the sampler adds.

        Returns:
            (batch, channels, frames, bins).
        """
        scheduler = ddim(self.settings.schedule)
        scheduler.set_timesteps(settings.steps, device=noise.device)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        guided = settings.guidance != 1.0
        both = torch.cat([self.no_condition.expand_as(condition), condition]) if guided else condition
        latent = noise
        for step in scheduler.timesteps:
            doubled = torch.cat([latent, latent]) if guided else latent
            predicted = self.predict(doubled, step.expand(len(doubled)), both).float()
            if guided:
                without, with_condition = predicted.chunk(2)
                predicted = without + settings.guidance * (with_condition - without)
            added = torch.stack([torch.randn(latent.shape[1:], generator=one) for one in generators])
            latent = scheduler.step(
                predicted,
                step,
                latent,
                eta=settings.eta,
                variance_noise=added.to(latent),
            ).prev_sample
        return latent / self.scale + self.shift


class MovingAverage(nn.Module):
    """An exponential moving average of a module's weights, with AudioLDM's decay: it rises with the steps.

    Its values are buffers, which are stored and are not trained; names are the module's, with `_` for dots.
    """

    updates: Tensor

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        for name, parameter in module.named_parameters():
            self.register_buffer(mangled(name), parameter.detach().clone())

    @torch.no_grad()
    def update(self, module: nn.Module, highest: float) -> None:
        """Moves towards the module's weights.

        Args:
            highest: decay that is never exceeded.
        """
        count = int(self.updates)
        decay = min(highest, (1 + count) / (10 + count))
        self.updates += 1
        values = self.of(module)
        parameters = dict(module.named_parameters())
        torch._foreach_lerp_(list(values.values()), [parameters[name] for name in values], 1 - decay)

    def of(self, module: nn.Module) -> dict[str, Tensor]:
        """The average of each of the module's parameters, by the parameter's name."""
        return {name: getattr(self, mangled(name)) for name, _ in module.named_parameters()}

    @contextmanager
    def applied_to(self, module: nn.Module) -> Iterator[None]:
        """Lets the module compute with the average for a while."""
        own = {name: parameter.data for name, parameter in module.named_parameters()}
        average = self.of(module)
        try:
            for name, parameter in module.named_parameters():
                parameter.data = average[name]
            yield
        finally:
            for name, parameter in module.named_parameters():
                parameter.data = own[name]


def mangled(name: str) -> str:
    """A parameter's name as that of a buffer, which has no dots."""
    return name.replace(".", "_")


def unet_config(settings: UNetSettings, model: GeneratorSettings) -> dict[str, Any]:
    """The arguments of diffusers' `UNet2DConditionModel` for AudioLDM's network.

    Where it attends to a text in other models, this one attends to itself again: `cross_attention_dim` is the
    width of each level.
    """
    widths, levels = settings.widths, len(settings.widths)
    channels = model.audio.latent_channels
    return {
        "in_channels": channels,
        "out_channels": channels,
        "down_block_types": ("DownBlock2D",) + ("CrossAttnDownBlock2D",) * (levels - 1),
        "up_block_types": ("CrossAttnUpBlock2D",) * (levels - 1) + ("UpBlock2D",),
        "block_out_channels": widths,
        "layers_per_block": settings.blocks,
        "norm_num_groups": settings.groups,
        "cross_attention_dim": widths,
        # diffusers gives the number of heads this name.
        "attention_head_dim": tuple(width // settings.head_dim for width in widths),
        "class_embed_type": "simple_projection",
        "class_embeddings_concat": True,
        "projection_class_embeddings_input_dim": model.condition_dim,
    }


def variances(settings: ScheduleSettings) -> np.ndarray:
    """The variance that each step adds: (steps,) float64."""
    first, last = settings.first_variance**0.5, settings.last_variance**0.5
    return np.linspace(first, last, settings.steps, dtype=np.float64) ** 2


def alphas_cumprod(settings: ScheduleSettings) -> np.ndarray:
    """The share of the signal's power that is left after each step: (steps,) float64."""
    return np.cumprod(1 - variances(settings))


def first_step(steps: int, settings: ScheduleSettings) -> int:
    """The step of the schedule that the sampler begins at."""
    return (steps - 1) * (settings.steps // steps) + 1


def ddim(settings: ScheduleSettings) -> DDIMScheduler:
    """The sampler, whose steps are AudioLDM's: 1, 6, ..., 996 for 200 of 1000."""
    scheduler = DDIMScheduler(
        num_train_timesteps=settings.steps,
        trained_betas=variances(settings),
        prediction_type=PREDICTION_TYPES[settings.predicted],
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="leading",
    )
    scheduler.alphas_cumprod = torch.tensor(alphas_cumprod(settings)).float()
    scheduler.final_alpha_cumprod = scheduler.alphas_cumprod[0]
    return scheduler
