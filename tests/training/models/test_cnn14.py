"""CNN14 gives the released code's numbers, at the released size and with the oracle's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.conftest import unlike_the_oracles
from wavcaps_training.models.audio_encoder import build_audio_encoder
from wavcaps_training.models.cnn14 import Cnn14
from wavcaps_training.models.htsat import Htsat
from wavcaps_training.settings.encoder import FrontEndSettings, SpecAugmentSettings
from wavcaps_training.settings.encoders.cnn14 import Cnn14Settings
from wavcaps_training.settings.encoders.htsat import HtsatSettings
from wavcaps_training.settings.model import ModelSettings
from wavcaps_training.settings.training import TrainingSettings

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def expected(oracles: Path) -> Mapping[str, np.ndarray]:
    return np.load(oracles / "cnn14.npz")


@pytest.fixture(scope="module")
def filled(fill: ModuleType) -> Cnn14:
    model = Cnn14(Cnn14Settings()).eval()
    fill.fill_state_dict(model.state_dict())
    return model


@pytest.fixture
def cnn14(filled: Cnn14) -> Iterator[Cnn14]:
    yield filled.eval()
    filled.zero_grad()


@pytest.mark.slow
def test_the_weights_are_filled_as_the_originals_were(filled: Cnn14, oracles: Path) -> None:
    assert unlike_the_oracles(oracles, "cnn14", filled.state_dict()) == []


def clips(fill: ModuleType, numbers: tuple[int, ...], samples: int) -> Tensor:
    return torch.tensor(np.stack([fill.wave(number, samples) for number in numbers]))


def close(found: Tensor, wanted: np.ndarray, tolerance: float = TOLERANCE) -> None:
    np.testing.assert_allclose(found.detach(), wanted, atol=tolerance, rtol=0)


@pytest.mark.slow
def test_embedding_and_every_block_for_ten_seconds(
    cnn14: Cnn14, expected: Mapping[str, np.ndarray], fill: ModuleType
) -> None:
    blocks: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _m, _i, output, name=name: blocks.update({name: output}))
        for name, module in cnn14.named_children()
        if name.startswith("conv_block")
    ]
    with torch.no_grad():
        output = cnn14(clips(fill, (0, 1), 320_000))
    for hook in hooks:
        hook.remove()
    assert len(blocks) == 6
    for name, value in blocks.items():
        close(value[:, :: value.shape[1] // 8, :8, :4], expected[f"{name}_slice"])
        found = [float(value.mean()), float(value.std())]
        np.testing.assert_allclose(found, expected[f"{name}_meanstd"], rtol=1e-4)
    close(output.embedding, expected["embedding_10s"])
    assert output.step_embedding.shape == (2, 15, 2048)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("length", "clip", "samples"),
    [("5s", 2, 160_000), ("1s", 3, 32_000), ("30s", 4, 960_000), ("min_20160", 5, 20_160)],
)
def test_other_lengths(
    cnn14: Cnn14, expected: Mapping[str, np.ndarray], fill: ModuleType, length: str, clip: int, samples: int
) -> None:
    with torch.no_grad():
        close(cnn14(clips(fill, (clip,), samples)).embedding, expected[f"embedding_{length}"])


@pytest.mark.slow
def test_silence(cnn14: Cnn14, expected: Mapping[str, np.ndarray]) -> None:
    with torch.no_grad():
        close(cnn14(torch.zeros(1, 320_000)).embedding, expected["embedding_silence"])


def test_shorter_clips_are_refused(cnn14: Cnn14) -> None:
    with pytest.raises(ValueError, match=r"63 frames.*at least 64"):
        cnn14(torch.zeros(1, 20_159))


@pytest.mark.slow
def test_gradients(cnn14: Cnn14, expected: Mapping[str, np.ndarray], fill: ModuleType) -> None:
    probe = torch.tensor(fill.embed("gradprobe", 2, 2048))
    (cnn14(clips(fill, (6, 7), 64_000)).embedding * probe).sum().backward()
    gradients = {name: parameter.grad for name, parameter in cnn14.named_parameters()}
    assert gradients.keys() == set(expected["grad_keys"].tolist())
    for name, norm, head in zip(
        expected["grad_keys"].tolist(), expected["grad_l2"], expected["grad_head4"], strict=True
    ):
        gradient = gradients[name]
        assert gradient is not None
        # A sum of 38 million squares loses a thousandth in single precision.
        assert float(gradient.double().norm()) == pytest.approx(norm, rel=1e-3), name
        np.testing.assert_allclose(gradient.flatten()[:4], head, rtol=1e-3, atol=1e-3 * norm, err_msg=name)


@pytest.mark.slow
def test_training_mode_uses_and_updates_the_batch_statistics(
    expected: Mapping[str, np.ndarray], fill: ModuleType
) -> None:
    no_masks = SpecAugmentSettings(time_stripes=0, mel_stripes=0)
    model = Cnn14(Cnn14Settings(spec_augment=no_masks, dropout=0.0)).train()
    fill.fill_state_dict(model.state_dict())
    with torch.no_grad():
        close(model(clips(fill, (6, 7), 64_000)).embedding, expected["train_nornd_embedding_2s"])
    statistics = model.state_dict()
    for name in ("bn0", "conv_block3.bn2"):
        for statistic in ("running_mean", "running_var"):
            wanted = expected[f"train_nornd_{name}.{statistic}"]
            np.testing.assert_allclose(statistics[f"{name}.{statistic}"], wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
def test_captioning_tokens(oracles: Path, fill: ModuleType) -> None:
    model = Cnn14(Cnn14Settings(fc1_dim=1024)).eval()
    prefix = "encoder.audio_enc."
    weights = {prefix + name: tensor for name, tensor in model.state_dict().items()}
    fill.fill_state_dict(weights)
    with torch.no_grad():
        tokens = model(clips(fill, (20, 21), 320_000)).fine_grained_embedding
    close(tokens, np.load(oracles / "bart_cnn14.npz")["audio_tokens"])


def test_parameters_are_those_of_the_released_model(filled: Cnn14) -> None:
    front_end_kernels = 1_083_456
    assert sum(p.numel() for p in filled.parameters()) == 76_560_896 - front_end_kernels
    # 80 entries in the released file, 3 of them the front end's.
    assert len(filled.state_dict()) == 77


def test_a_strict_load_accepts_the_front_end_kernels_and_nothing_else() -> None:
    model = Cnn14(Cnn14Settings(channels=(4, 8)))
    kernels = {
        "audio_feats_extractor.mel_trans.stft.conv_real.weight": torch.zeros(513, 1, 1024),
        "audio_feats_extractor.mel_trans.stft.conv_imag.weight": torch.zeros(513, 1, 1024),
        "audio_feats_extractor.log_trans.melW": torch.zeros(513, 64),
    }
    model.load_state_dict({**model.state_dict(), **kernels}, strict=True)
    for layer in ("fc1.weight", "conv_block3.conv1.weight"):
        with pytest.raises(RuntimeError, match=layer):
            model.load_state_dict({**model.state_dict(), layer: torch.zeros(1)})


def test_training_drops_and_masks_and_evaluation_does_neither() -> None:
    model = Cnn14(Cnn14Settings(channels=(4, 8), fc1_dim=3))
    log_mel = torch.rand(2, 1, 101, 64)
    first, second = (model.encode(log_mel).embedding for _ in range(2))
    assert not torch.equal(first, second)
    model.eval()
    first, second = (model.encode(log_mel).embedding for _ in range(2))
    assert torch.equal(first, second)
    assert model.encode(log_mel).fine_grained_embedding.shape == (2, 25, 3)


def test_settings_name_the_encoder_and_old_ones_mean_htsat() -> None:
    named = ModelSettings.model_validate({"audio": {"encoder": "cnn14", "channels": [4, 8]}})
    assert named.audio == Cnn14Settings(channels=(4, 8))
    assert ModelSettings.model_validate_json(named.model_dump_json()) == named
    assert isinstance(build_audio_encoder(named.audio), Cnn14)
    unnamed = ModelSettings.model_validate({"audio": {"depths": [1], "heads": [1]}})
    assert isinstance(unnamed.audio, HtsatSettings)
    assert isinstance(build_audio_encoder(unnamed.audio), Htsat)


@pytest.mark.parametrize(
    ("model", "seconds", "message"),
    [
        ({"encoder": "cnn14"}, 0.5, "at least 64; increase"),
        ({"encoder": "htsat"}, 30, "at most 1024; reduce"),
        ({"encoder": "resnet38"}, 10, "'cnn14', 'htsat'"),
        ({"encoder": "cnn14", "embed_dim": 96}, 10, r"cnn14\.embed_dim"),
        ({"encoder": "cnn14", "front_end": {"mel_bins": 32}}, 10, "32 mel bins to none"),
    ],
)
def test_settings_that_do_not_fit_are_refused(model: dict[str, object], seconds: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingSettings.model_validate({"model": {"audio": model}, "clip": {"seconds": seconds}})


def test_thirty_seconds_fit() -> None:
    settings = TrainingSettings.model_validate(
        {"model": {"audio": {"encoder": "cnn14"}}, "clip": {"seconds": 30}}
    )
    assert settings.model.audio.front_end == FrontEndSettings()
