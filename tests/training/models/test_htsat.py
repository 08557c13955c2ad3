"""HTSAT gives the released code's numbers, at the released size and with the oracle's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.training.conftest import unlike_the_oracles
from wavcaps_training.models.htsat import DropPath, Htsat, attend, fused_attention
from wavcaps_training.settings.encoder import FrontEndSettings, SpecAugmentSettings
from wavcaps_training.settings.encoders.htsat import HtsatSettings

# Well below the smallest error that a plausible mistake makes (9e-4, htsat_sensitivity.json).
TOLERANCE = 5e-5


@pytest.fixture(scope="module")
def expected(oracles: Path) -> Mapping[str, np.ndarray]:
    return np.load(oracles / "htsat.npz")


@pytest.fixture(scope="module")
def filled(fill: ModuleType) -> Htsat:
    return fill_htsat(fill, HtsatSettings())


def fill_htsat(fill: ModuleType, settings: HtsatSettings) -> Htsat:
    model = Htsat(settings).eval()
    fill.fill_state_dict(model.state_dict())
    return model


@pytest.fixture
def htsat(filled: Htsat) -> Iterator[Htsat]:
    yield filled
    filled.zero_grad()


@pytest.mark.slow
def test_the_weights_are_filled_as_the_originals_were(filled: Htsat, oracles: Path) -> None:
    assert unlike_the_oracles(oracles, "htsat", filled.state_dict()) == []


def clips(fill: ModuleType, numbers: tuple[int, ...], samples: int) -> Tensor:
    return torch.tensor(np.stack([fill.wave(number, samples) for number in numbers]))


def close(found: Tensor, wanted: np.ndarray, tolerance: float = TOLERANCE) -> None:
    np.testing.assert_allclose(found.detach(), wanted, atol=tolerance, rtol=0)


def test_every_output_and_layer_for_ten_seconds(
    htsat: Htsat, expected: Mapping[str, np.ndarray], fill: ModuleType
) -> None:
    tokens: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _m, _i, output, name=name: tokens.update({name: output}))
        for name, module in {
            "patch_embed": htsat.patch_embed,
            **{f"layers_{number}": stage for number, stage in enumerate(htsat.layers)},
            "norm": htsat.norm,
        }.items()
    ]
    with torch.no_grad():
        waveform = clips(fill, (0, 1), 320_000)
        output = htsat(waveform)
        normalised = htsat.normalise(htsat.audio_feats_extractor(waveform))
    for hook in hooks:
        hook.remove()
    close(normalised[:, :, ::8], expected["bn0_10s"])
    close(htsat.fold(normalised)[:, :, ::4], expected["folded_image_10s"])
    for name, value in tokens.items():
        close(value[:, :: value.shape[1] // 8], expected[f"{name}_tokens"])
    close(output.embedding, expected["embedding_10s"])
    close(output.fine_grained_embedding[:, ::32], expected["fine_grained_32"])
    close(output.clipwise_output, expected["clipwise_output"])
    close(output.framewise_output[:, ::32], expected["framewise_32"])
    assert output.fine_grained_embedding.shape == (2, 1024, 768)
    assert output.framewise_output.shape == (2, 1024, 527)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("length", "clip", "samples"),
    [("5s", 2, 160_000), ("1s", 3, 32_000), ("max_327679", 4, 327_679), ("9p5s", 5, 304_000)],
)
def test_other_lengths_are_stretched(
    htsat: Htsat, expected: Mapping[str, np.ndarray], fill: ModuleType, length: str, clip: int, samples: int
) -> None:
    with torch.no_grad():
        close(htsat(clips(fill, (clip,), samples)).embedding, expected[f"embedding_{length}"])


def test_silence(htsat: Htsat, expected: Mapping[str, np.ndarray]) -> None:
    with torch.no_grad():
        close(htsat(torch.zeros(1, 320_000)).embedding, expected["embedding_silence"])


def test_longer_clips_are_refused(htsat: Htsat) -> None:
    with pytest.raises(ValueError, match=r"1025 frames.*at most 1024"):
        htsat(torch.zeros(1, 327_680))


@pytest.mark.slow
def test_gradients(htsat: Htsat, expected: Mapping[str, np.ndarray], fill: ModuleType) -> None:
    probe = torch.tensor(fill.embed("gradprobe", 2, 768))
    (htsat(clips(fill, (0, 1), 320_000)).embedding * probe).sum().backward()
    parameters = dict(htsat.named_parameters())
    found = {name: parameters[name].grad for name in expected["grad_keys"].tolist()}
    norms = [float(gradient.norm()) for gradient in found.values() if gradient is not None]
    np.testing.assert_allclose(norms, expected["grad_l2"], rtol=1e-3)
    without = {name for name, parameter in parameters.items() if parameter.grad is None}
    assert without == {"tscam_conv.weight", "tscam_conv.bias", "head.weight", "head.bias"}


@pytest.mark.slow
def test_training_mode_uses_and_updates_the_batch_statistics(
    expected: Mapping[str, np.ndarray], fill: ModuleType
) -> None:
    no_masks = SpecAugmentSettings(time_stripes=0, mel_stripes=0)
    model = fill_htsat(fill, HtsatSettings(spec_augment=no_masks, drop_path=0.0)).train()
    with torch.no_grad():
        close(model(clips(fill, (0, 1), 320_000)).embedding, expected["train_nornd_embedding_10s"])
    statistics = model.bn0.state_dict()
    close(statistics["running_mean"], expected["train_nornd_bn0_running_mean"], tolerance=1e-4)
    np.testing.assert_allclose(statistics["running_var"], expected["train_nornd_bn0_running_var"], rtol=1e-5)


def test_drop_path_grows_linearly(filled: Htsat, expected: Mapping[str, np.ndarray]) -> None:
    found = [module.probability for module in filled.modules() if isinstance(module, DropPath)]
    np.testing.assert_allclose(found, expected["drop_path_probs"], atol=1e-7)


def test_parameters_are_those_of_the_released_model(filled: Htsat) -> None:
    front_end_kernels = 1_083_456
    assert sum(p.numel() for p in filled.parameters()) == 31_325_143 - front_end_kernels
    # 200 entries in the released file, 3 of them the front end's.
    assert len(filled.state_dict()) == 197


def test_released_front_end_kernels_are_ignored_and_nothing_else(filled: Htsat) -> None:
    small = HtsatSettings(embed_dim=8, depths=(1, 1, 1, 1), heads=(1, 1, 1, 1))
    model = Htsat(small)
    kernels = {
        "audio_feats_extractor.mel_trans.stft.conv_real.weight": torch.zeros(513, 1, 1024),
        "audio_feats_extractor.mel_trans.stft.conv_imag.weight": torch.zeros(513, 1, 1024),
        "audio_feats_extractor.log_trans.melW": torch.zeros(513, 64),
    }
    model.load_state_dict({**model.state_dict(), **kernels}, strict=True)
    with pytest.raises(RuntimeError, match="unheard_of"):
        model.load_state_dict({**model.state_dict(), "audio_feats_extractor.unheard_of": torch.zeros(1)})


@pytest.mark.parametrize("spec_size", [128, 256])
def test_smaller_models_keep_the_shapes(spec_size: int) -> None:
    stages = {128: 3, 256: 4}[spec_size]
    settings = HtsatSettings(
        front_end=FrontEndSettings(window=2048, hop=81_920 // spec_size),
        spec_size=spec_size,
        embed_dim=8,
        depths=(1, 2, 1, 1)[:stages],
        heads=(1, 2, 2, 4)[:stages],
        classes=5,
    )
    output = Htsat(settings)(torch.rand(2, 64_000))
    assert output.embedding.shape == (2, settings.embedding_dim)
    assert output.fine_grained_embedding.shape == (2, settings.max_frames, settings.embedding_dim)
    assert output.clipwise_output.shape == (2, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": (4, 8)}, "one entry a stage"),
        ({"spec_size": 100}, "multiple of mel_bins"),
        ({"window_size": 7}, "multiple of window_size"),
        ({"embed_dim": 90}, "multiple of its heads"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HtsatSettings.model_validate(change)


@pytest.mark.parametrize("windows", [1, 4])
def test_fused_attention_takes_four_dimensions_and_gives_the_same(
    windows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No fused kernel of CUDA accepts five dimensions; the result and all gradients are those of a CPU."""
    dimensions: set[int] = set()
    attention = F.scaled_dot_product_attention

    def watched(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor) -> Tensor:
        dimensions.update(tensor.ndim for tensor in (query, key, value, attn_mask))
        return attention(query, key, value, attn_mask)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    generator = torch.Generator().manual_seed(0)
    results = []
    shapes = [(3, 4, 2, 16, 8)] * 3 + [(windows, 2, 16, 16)]
    given = [torch.randn(shape, generator=generator) for shape in shapes]
    given[3][:, :, :3, 5:] = float("-inf")
    for function in (attend, fused_attention):
        tensors = [tensor.clone().requires_grad_() for tensor in given]
        attended = function(*tensors)
        (attended * torch.linspace(0, 1, attended.numel()).view_as(attended)).sum().backward()
        results.append([attended.detach(), *(tensor.grad for tensor in tensors)])
    assert dimensions == {4}
    for ours, fused in zip(*results, strict=True):
        assert ours is not None and fused is not None
        torch.testing.assert_close(fused, ours, atol=1e-5, rtol=1e-4)
