"""Sampling next to diffusers' own AudioLDM pipeline, at the same shapes: not slower.

Both make the same number of sounds with the same networks, noise and embeddings, in turns; the best time of
each counts. `python -m benchmarks.sampling paper 5` takes AudioLDM-S and five steps.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.result import own_peak_mb, report
from tests.support.audioldm_pipeline import pipeline_of
from wavcaps_training.models.latent_diffusion import LatentDiffusion
from wavcaps_training.settings.generation import GeneratorSettings, SamplingSettings, UNetSettings

ROUNDS = 3
SECONDS = 10.24
BATCH = 2
SMALL = GeneratorSettings(unet=UNetSettings(channels=32), condition_dim=64)
# Rounding of time alone.
LIMIT = 1.05


def main() -> None:
    size, steps = (sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 2 else ("small", 10)
    torch.manual_seed(0)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    model = LatentDiffusion(GeneratorSettings() if size == "paper" else SMALL).eval()
    model.scale.fill_(1.0)
    shape = (BATCH, *model.settings.audio.latent_shape(SECONDS))
    noise = torch.randn(shape)
    condition = torch.nn.functional.normalize(torch.randn(BATCH, model.settings.condition_dim))
    pipeline = pipeline_of(model, model.autoencoder.vocoder)
    settings = SamplingSettings(steps=steps, eta=0.0)

    def ours() -> Tensor:
        with torch.no_grad():
            latent = model.sample(condition, noise, settings, list(range(BATCH)))
            return model.autoencoder.waveform(model.autoencoder.decode(latent))

    def theirs() -> Any:
        return pipeline(
            audio_length_in_s=SECONDS,
            num_inference_steps=steps,
            guidance_scale=settings.guidance,
            eta=0.0,
            latents=noise,
            prompt_embeds=condition,
            negative_prompt_embeds=torch.zeros_like(condition),
        ).audios

    calls = count_calls(model, ours)
    best = {name: float("inf") for name in ("ours", "theirs")}
    for _ in range(ROUNDS):
        for name, make in (("ours", ours), ("theirs", theirs)):
            start = time.perf_counter()
            make()
            best[name] = min(best[name], (time.perf_counter() - start) / BATCH)
    print(f"U-Net calls of a batch of {BATCH}: {calls}, for {steps} steps with guidance")  # noqa: T201
    ratio = best["ours"] / best["theirs"]
    report(
        f"sampling_{size}_{steps}_steps",
        best["ours"],
        "s per sound of 10.24 s",
        "diffusers AudioLDMPipeline",
        best["theirs"],
        own_peak_mb(),
    )
    if ratio > LIMIT:
        raise SystemExit(f"sampling takes {ratio:.2f} times as long as diffusers' pipeline")


def count_calls(model: LatentDiffusion, make: Callable[[], Tensor]) -> int:
    """How often the U-Net is called for a batch."""
    calls = []
    hook = model.unet.register_forward_hook(lambda *_: calls.append(1))
    make()
    hook.remove()
    return len(calls)


if __name__ == "__main__":
    main()
