"""The captioner gives the released code's numbers and captions, with a BART of two small layers each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import ByteLevelBPETokenizer
from torch import Tensor
from transformers import BartForConditionalGeneration, BartTokenizer, PreTrainedTokenizerBase

from wavcaps_training.models.audio_encoder import build_audio_encoder
from wavcaps_training.models.captioner import Captioner, bart_config, caption_loss
from wavcaps_training.models.text_encoder import TextModelError
from wavcaps_training.settings.captioner import (
    TINY_CAPTIONER,
    BartSettings,
    CaptionerSettings,
    GenerationSettings,
)
from wavcaps_training.settings.encoders.cnn14 import Cnn14Settings
from wavcaps_training.settings.encoders.htsat import HtsatSettings

FRONT_END_KERNELS = 1_083_456
SMALL_BART = BartSettings(width=64, encoder_layers=2, decoder_layers=2, heads=4, feed_forward=128)
CAPTIONS = ["A deep hum drones on.", "A shrill whistle blows!"]


@pytest.fixture(scope="module", params=["htsat", "cnn14"])
def encoder(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def expected(oracles: Path, encoder: str) -> Mapping[str, np.ndarray]:
    return np.load(oracles / f"bart_{encoder}.npz")


@pytest.fixture(scope="module")
def meta(oracles: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((oracles / "bart_meta.json").read_text())
    return loaded


@pytest.fixture(scope="module")
def word_pieces() -> PreTrainedTokenizerBase:
    return Captioner.build(TINY_CAPTIONER).tokenizer


@pytest.fixture(scope="module")
def filled(fill: ModuleType, encoder: str, word_pieces: PreTrainedTokenizerBase) -> Captioner:
    audio = HtsatSettings() if encoder == "htsat" else Cnn14Settings(fc1_dim=1024)
    model = Captioner(
        build_audio_encoder(audio),
        BartForConditionalGeneration(bart_config(SMALL_BART, 120)),
        word_pieces,
        CaptionerSettings(audio=audio, bart=SMALL_BART),
    )
    return fill_captioner(fill, model)


def fill_captioner(fill: ModuleType, model: Captioner) -> Captioner:
    """The oracle's weights; those that BART ties have the value of the first of their names."""
    state = model.eval().state_dict()
    fill.fill_state_dict(state)
    shared = "decoder.model.shared.weight"
    values = fill.value(shared, state[shared].shape)
    state[shared].copy_(torch.from_numpy(values))
    return model


@pytest.fixture(scope="module")
def memory(filled: Captioner, fill: ModuleType) -> Tensor:
    waveform = torch.tensor(np.stack([fill.wave(clip, 320_000) for clip in (20, 21)]))
    with torch.no_grad():
        return filled.read_audio(filled.log_mel(waveform))


def close(found: Tensor, wanted: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(found.detach(), wanted, atol=tolerance, rtol=0)


@pytest.mark.slow
def test_audio_tokens_projection_and_memory(
    filled: Captioner,
    memory: Tensor,
    expected: Mapping[str, np.ndarray],
    fill: ModuleType,
    encoder: str,
) -> None:
    # The oracle has one of each 32 equal steps of HTSAT's tokens, and each of CNN14's 15.
    step, memory_step = (32, 64) if encoder == "htsat" else (1, 1)
    waveform = torch.tensor(np.stack([fill.wave(clip, 320_000) for clip in (20, 21)]))
    with torch.no_grad():
        tokens = filled.encoder.audio_enc(waveform).fine_grained_embedding
        close(tokens[:, ::step], expected["audio_tokens"], 1e-4)
        close(filled.enc_to_dec_proj(tokens)[:, ::step], expected["projected_tokens"], 1e-4)
    close(memory[:, ::memory_step], expected["bart_encoder_out"], 1e-4)


@pytest.mark.slow
def test_logits_and_loss_with_and_without_smoothing(
    filled: Captioner, memory: Tensor, expected: Mapping[str, np.ndarray]
) -> None:
    ids, mask = (torch.tensor(expected[name]) for name in ("caption_ids", "caption_mask"))
    with torch.no_grad():
        logits = filled.predict(memory, ids, mask)
    close(logits, expected["logits"], 2e-4)
    for smoothing, name in ((0.1, "loss"), (0.0, "loss_no_smoothing")):
        found = caption_loss(logits, ids, mask, smoothing).item()
        assert found == pytest.approx(float(expected[name]), abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (GenerationSettings(beams=1), "beam1"),
        (GenerationSettings(beams=2), "beam2"),
        (GenerationSettings(), "beam3"),
        (GenerationSettings(no_repeat_ngram=0), "beam3_without_ngram_block"),
        (GenerationSettings(early_stopping=False), "beam3_without_early_stopping"),
    ],
)
def test_generated_tokens(
    filled: Captioner,
    memory: Tensor,
    meta: dict[str, Any],
    encoder: str,
    settings: GenerationSettings,
    name: str,
) -> None:
    assert filled.generate_ids(memory, settings).tolist() == meta[f"{encoder}_{name}"]


def test_size_and_names_are_the_released_ones(filled: Captioner, meta: dict[str, Any], encoder: str) -> None:
    state = filled.state_dict()
    assert sum(p.numel() for p in filled.parameters()) == meta[encoder]["params"] - FRONT_END_KERNELS
    assert len(state) == meta[encoder]["n_keys"] - 3
    tied = [state[name].data_ptr() for name in meta[encoder]["tied_keys"]]
    assert len(set(tied)) == 1


def test_captions_are_cleaned_cut_and_padded(word_pieces: PreTrainedTokenizerBase) -> None:
    model = Captioner.build(TINY_CAPTIONER)
    ids, mask = model.tokenize(["A dog barks.", "a bird sings " * 30])
    assert ids.shape == (2, TINY_CAPTIONER.max_tokens)
    assert mask.sum(dim=1).tolist() == [6, 30]
    assert word_pieces.decode(ids[0][:6]) == "[CLS] a dog barks [SEP]"


def test_more_audio_than_bart_has_positions_for_is_refused() -> None:
    bart = TINY_CAPTIONER.bart.model_copy(update={"max_positions": 100})
    model = Captioner.build(TINY_CAPTIONER.model_copy(update={"bart": bart}))
    with pytest.raises(ValueError, match=r"256 audio tokens.*100 positions.*bart\.max_positions"):
        model.read_audio(model.log_mel(torch.zeros(1, 32_000)))


@pytest.fixture(scope="module")
def bart_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BART with byte-pair encoding, as facebook/bart-base is stored, but small and random."""
    folder = tmp_path_factory.mktemp("bart")
    words = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    words.train_from_iterator([" ".join(CAPTIONS).lower()], 300, 1, special_tokens=special)
    words.save_model(str(folder))
    tokenizer = BartTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    BartForConditionalGeneration(bart_config(SMALL_BART, len(tokenizer))).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_small_captioner_learns_its_captions(bart_folder: Path) -> None:
    torch.manual_seed(0)
    bart = SMALL_BART.model_copy(update={"folder": str(bart_folder), "dropout": 0.0})
    model = Captioner.build(CaptionerSettings(audio=TINY_CAPTIONER.audio, bart=bart)).train()
    seconds = torch.arange(32_000) / 32_000
    tones = torch.stack([torch.sin(2 * torch.pi * hertz * seconds) for hertz in (200, 3000)])
    log_mel = model.log_mel(tones)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        model.loss(log_mel, CAPTIONS).backward()
        optimizer.step()
    assert model.eval().generate(log_mel) == ["a deep hum drones on", "a shrill whistle blows"]


def test_bart_is_read_from_a_folder(bart_folder: Path) -> None:
    bart = SMALL_BART.model_copy(update={"folder": str(bart_folder)})
    settings = CaptionerSettings(audio=TINY_CAPTIONER.audio, bart=bart)
    stored = BartForConditionalGeneration.from_pretrained(bart_folder).state_dict()
    model, fresh = Captioner.build(settings), Captioner.build(settings, pretrained_bart=False)
    name = "model.decoder.layers.0.fc1.weight"
    assert torch.equal(model.decoder.state_dict()[name], stored[name])
    assert not torch.equal(fresh.decoder.state_dict()[name], stored[name])
    ids, _ = model.tokenize(["a deep hum"])
    assert (ids[0, 0], ids[0, -1]) == (0, 2)
    assert model.tokenizer.decode(ids[0]) == "<s>a deep hum</s>"
    assert len(model.eval().generate(model.log_mel(torch.rand(1, 32_000)))) == 1


def test_a_folder_without_the_bart_of_the_settings_is_named(bart_folder: Path, tmp_path: Path) -> None:
    def build(folder: Path, **sizes: int) -> None:
        bart = SMALL_BART.model_copy(update={"folder": str(folder), **sizes})
        Captioner.build(CaptionerSettings(audio=TINY_CAPTIONER.audio, bart=bart))

    with pytest.raises(TextModelError, match=r"bart\.decoder_layers is 3, but the folder's is 2"):
        build(bart_folder, decoder_layers=3)
    with pytest.raises(TextModelError, match=r"no BART model in .*set bart\.folder"):
        build(tmp_path / "nothing")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(TextModelError, match="'bert', not a BART"):
        build(tmp_path)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"width \(768\) must be a multiple of heads \(7\)"):
        BartSettings(heads=7)
