"""The pipeline of diffusers that our sampler is compared with."""

from __future__ import annotations

from diffusers import AudioLDMPipeline, DDIMScheduler
from torch import nn
from transformers import ClapTextConfig, ClapTextModelWithProjection

from wavcaps_training.models.latent_diffusion import LatentDiffusion


def pipeline_of(model: LatentDiffusion, vocoder: nn.Module) -> AudioLDMPipeline:
    """diffusers' pipeline with the same networks, and a vocoder."""
    text = ClapTextConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        projection_dim=model.settings.condition_dim,
    )
    scheduler = DDIMScheduler(
        beta_start=0.0015,
        beta_end=0.0195,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    model.autoencoder.vae.register_to_config(scaling_factor=1.0)
    pipeline = AudioLDMPipeline(
        model.autoencoder.vae, ClapTextModelWithProjection(text), None, model.unet, scheduler, vocoder
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
