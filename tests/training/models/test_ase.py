"""The two-tower model gives the released code's numbers, with a BERT of two small layers."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from wavcaps_training.models.audio_encoder import build_audio_encoder
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.models.text_encoder import TextEncoder, TextModelError
from wavcaps_training.settings.encoders.cnn14 import Cnn14Settings
from wavcaps_training.settings.encoders.htsat import HtsatSettings
from wavcaps_training.settings.model import Pooling, TextEncoderSettings
from wavcaps_training.tasks.losses import embedding_regulariser, soft_nt_xent

FRONT_END_KERNELS = 1_083_456


ENCODERS: dict[str, HtsatSettings | Cnn14Settings] = {"htsat": HtsatSettings(), "cnn14": Cnn14Settings()}


@pytest.fixture(scope="module")
def minilm() -> TextEncoder:
    return TextEncoder.from_folder(TextEncoderSettings(frozen=True, pooling=Pooling.MEAN)).eval()


def tiny_bert_model(
    text: TextEncoder, audio: HtsatSettings | Cnn14Settings = ENCODERS["htsat"]
) -> RetrievalModel:
    config = BertConfig(
        vocab_size=1000, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128
    )
    bert = TextEncoder(BertModel(config, add_pooling_layer=False), text.tokenizer, TextEncoderSettings())
    return RetrievalModel(build_audio_encoder(audio), bert, 1024, 0.07, learn_temperature=True).eval()


@pytest.fixture(scope="module")
def model(fill: ModuleType, minilm: TextEncoder) -> RetrievalModel:
    filled = tiny_bert_model(minilm)
    fill.fill_state_dict(filled.state_dict())
    return filled


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS)
def test_embeddings_loss_and_gradients(
    encoder: str, oracles: Path, minilm: TextEncoder, fill: ModuleType
) -> None:
    expected = np.load(oracles / f"ase_{encoder}_tinybert.npz")
    model = tiny_bert_model(minilm, ENCODERS[encoder])
    fill.fill_state_dict(model.state_dict())
    samples = int(expected["n_samples"])
    waveform = torch.tensor(np.stack([fill.wave(clip, samples) for clip in range(10, 14)]))
    input_ids, attention_mask = (torch.tensor(expected[name]) for name in ("input_ids", "attention_mask"))
    ids = [str(number) for number in expected["idx"]]

    cls = model.text_encoder.encode(input_ids, attention_mask)
    audio, text = model.embed_audio(waveform), model.embed_text_features(cls)
    contrastive, regulariser = soft_nt_xent(audio, text, ids, model.temp), embedding_regulariser(audio, text)
    (contrastive + regulariser).backward()

    features = model.audio_encoder.audio_enc(waveform).embedding
    for found, wanted, tolerance in (
        (cls, "bert_cls", 2e-5),
        (features, "audio_feats", 1e-4 if encoder == "cnn14" else 5e-5),
        (audio, "audio_embeds", 2e-5),
        (text, "text_embeds", 2e-5),
        # Cosines over the temperature.
        (audio @ text.T / model.temp, "sim_a2t_scaled", 2e-5 / 0.07),
    ):
        np.testing.assert_allclose(found.detach(), expected[wanted], atol=tolerance, rtol=0)
    assert contrastive.item() == pytest.approx(float(expected["loss_contrastive"]), abs=1e-5)
    assert regulariser.item() == pytest.approx(float(expected["loss_reg"]), abs=1e-5)
    parameters = dict(model.named_parameters())
    idle = {name for name, parameter in parameters.items() if parameter.grad is None}
    assert idle == set(expected["nograd_keys"].tolist()) & parameters.keys()
    gradients = [parameters[name].grad for name in expected["grad_keys"].tolist()]
    norms = [float(gradient.double().norm()) for gradient in gradients if gradient is not None]
    # The gradient of a key's bias is 0 but for rounding, as softmax ignores what all keys share.
    np.testing.assert_allclose(norms, expected["grad_l2"], rtol=1e-3, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS)
def test_size_and_names_are_the_released_ones(encoder: str, oracles: Path, minilm: TextEncoder) -> None:
    expected = json.loads((oracles / "ase_meta.json").read_text())[f"{encoder}_tinybert"]
    model = tiny_bert_model(minilm, ENCODERS[encoder])
    assert sum(p.numel() for p in model.parameters()) == expected["params"] - FRONT_END_KERNELS
    assert len(model.state_dict()) == expected["keys"] - 3


@pytest.mark.slow
def test_released_checkpoints_load_with_their_position_ids(
    model: RetrievalModel, minilm: TextEncoder
) -> None:
    released = {
        **model.state_dict(),
        "text_encoder.text_encoder.embeddings.position_ids": torch.arange(512).unsqueeze(0),
        "audio_encoder.audio_enc.audio_feats_extractor.log_trans.melW": torch.zeros(513, 64),
    }
    fresh = tiny_bert_model(minilm)
    fresh.load_state_dict(released, strict=True)
    assert torch.equal(fresh.temp, model.temp)


def test_minilm_knows_what_captions_mean(minilm: TextEncoder) -> None:
    dog, canine, rain = torch.nn.functional.normalize(
        minilm(["A dog barks.", "A canine is barking!", "Rain falls on a roof."])
    )
    assert dog @ canine > 0.7 > dog @ rain


def test_caption_is_cleaned_cut_and_independent_of_its_batch(minilm: TextEncoder) -> None:
    alone = minilm(["A dog barks."])
    in_batch = minilm(["a dog   barks", "a much longer caption beside it, which makes the batch wider " * 9])
    torch.testing.assert_close(in_batch[:1], alone, atol=1e-5, rtol=0)


def test_pooling_takes_the_first_token_or_the_mean(minilm: TextEncoder) -> None:
    ids, mask = torch.tensor([[101, 3899, 102, 0]]), torch.tensor([[1, 1, 1, 0]])
    tokens = minilm.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state[0]
    by_cls = TextEncoder(minilm.text_encoder, minilm.tokenizer, TextEncoderSettings(frozen=True))
    torch.testing.assert_close(by_cls.encode(ids, mask)[0], tokens[0])
    torch.testing.assert_close(minilm.encode(ids, mask)[0], tokens[:3].mean(dim=0))


def test_a_frozen_text_encoder_stays_out_of_training(minilm: TextEncoder) -> None:
    assert not minilm.train().text_encoder.training
    assert not any(parameter.requires_grad for parameter in minilm.parameters())
    assert not minilm(["a dog barks"]).requires_grad


def test_a_folder_without_bert_is_named(tmp_path: Path) -> None:
    settings = TextEncoderSettings(folder=str(tmp_path))
    with pytest.raises(TextModelError, match=f"no BERT model in {tmp_path}.*model.text.folder"):
        TextEncoder.from_folder(settings)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(TextModelError, match="'gpt2', not a BERT"):
        TextEncoder.from_folder(settings)
