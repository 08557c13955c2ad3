"""HTSAT compared with the released recipe, and with the same model in transformers (`ClapAudioModel`).

The limits: forward at least 1.5 times, a training step at least 1.3 times as fast as the released recipe.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import ClapAudioConfig, ClapAudioModel

from benchmarks.encoders import CLIPS, Limits, compare, embedding, fastest, waveforms
from benchmarks.result import own_peak_mb, report
from wavcaps_training.models.htsat import Htsat
from wavcaps_training.settings.encoders.htsat import HtsatSettings

# Parts of our keys, which are the released checkpoints', and what transformers calls them.
NAMES = {
    "bn0.": "batch_norm.",
    ".norm1.": ".layernorm_before.",
    ".norm2.": ".layernorm_after.",
    ".attn.proj.": ".attention.output.dense.",
    ".attn.relative_position": ".attention.self.relative_position",
    ".mlp.fc1.": ".intermediate.dense.",
    ".mlp.fc2.": ".output.dense.",
}
HEADS = ("tscam_conv.", "head.")


def as_in_transformers(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our weights under transformers' names; it has no tagging head, and queries, keys and values apart."""
    mapped = {}
    for key, value in weights.items():
        if key.startswith(HEADS) or key.endswith("attn_mask"):
            continue
        if ".attn.qkv." in key:
            start, _, end = key.partition("attn.qkv")
            for name, part in zip(("query", "key", "value"), value.chunk(3), strict=True):
                mapped[f"audio_encoder.{start}attention.self.{name}{end}"] = part
            continue
        for ours, theirs in NAMES.items():
            key = key.replace(ours, theirs)
        mapped[f"audio_encoder.{key}"] = value
    return mapped


def compare_with_transformers() -> None:
    torch.manual_seed(4)
    ours = Htsat(HtsatSettings()).eval()
    theirs = ClapAudioModel(ClapAudioConfig(enable_fusion=False)).eval()
    fits = theirs.load_state_dict(as_in_transformers(ours.state_dict()), strict=False)
    assert not fits.unexpected_keys, fits.unexpected_keys
    print(f"further keys of transformers: {fits.missing_keys or 'none'}")  # noqa: T201
    sounds = waveforms()
    with torch.no_grad():
        log_mel = ours.audio_feats_extractor(sounds)
        difference = (embedding(ours, sounds) - theirs(log_mel).pooler_output).abs().max()
    print(f"transformers' embeddings differ by {float(difference):.1e}")  # noqa: T201

    def own() -> object:
        with torch.no_grad():
            return ours.encode(log_mel)

    def clap() -> object:
        with torch.no_grad():
            return theirs(log_mel)

    def own_gradients() -> None:
        ours.zero_grad()
        ours.encode(log_mel).embedding.square().mean().backward()

    def clap_gradients() -> None:
        theirs.zero_grad()
        theirs(log_mel).pooler_output.square().mean().backward()

    mine, other = fastest([own, clap])
    back, other_back = fastest([own_gradients, clap_gradients])
    peer = "transformers' ClapAudioModel"
    report("htsat_encode", CLIPS / mine, "clips/s", peer, CLIPS / other, own_peak_mb())
    report("htsat_gradients", CLIPS / back, "clips/s", peer, CLIPS / other_back, own_peak_mb())


def main() -> None:
    compare_with_transformers()
    compare("htsat", HtsatSettings(), Limits(forward=1.5, step=1.3))


if __name__ == "__main__":
    main()
