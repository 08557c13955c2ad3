"""Released checkpoints load whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import BartForConditionalGeneration, BertConfig, BertModel, PreTrainedTokenizerBase

from tests.support.paths import SHARED
from wavcaps_training.checkpoints.recognition import Family, recognise
from wavcaps_training.checkpoints.released import POSITION_IDS, load_released
from wavcaps_training.checkpoints.safe_files import ReleasedCheckpointError
from wavcaps_training.models.audio_encoder import build_audio_encoder
from wavcaps_training.models.audio_network import AudioNetwork
from wavcaps_training.models.captioner import Captioner, bart_config
from wavcaps_training.models.cnn14 import Cnn14
from wavcaps_training.models.features import LogMel
from wavcaps_training.models.htsat import Htsat
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.models.text_encoder import TextEncoder
from wavcaps_training.settings.captioner import TINY_CAPTIONER, BartSettings, CaptionerSettings
from wavcaps_training.settings.encoders.cnn14 import Cnn14Settings
from wavcaps_training.settings.encoders.htsat import HtsatSettings
from wavcaps_training.settings.model import TextEncoderSettings

pytestmark = pytest.mark.slow

KEYS = SHARED / "facts" / "keys"
SMALL_HTSAT = HtsatSettings(embed_dim=8, depths=(1, 1, 1, 1), heads=(1, 1, 1, 1), classes=5)
SMALL_BERT = BertConfig(
    vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
)
SMALL_BART = BartSettings(width=16, encoder_layers=1, decoder_layers=1, heads=2, feed_forward=32)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return Captioner.build(TINY_CAPTIONER).tokenizer


def retrieval_model(
    tokenizer: PreTrainedTokenizerBase, audio: AudioNetwork, bert: BertConfig, joint_dim: int
) -> RetrievalModel:
    text = TextEncoder(BertModel(bert, add_pooling_layer=False), tokenizer, TextEncoderSettings())
    return RetrievalModel(audio, text, joint_dim, 0.07, learn_temperature=True)


def small_retrieval(tokenizer: PreTrainedTokenizerBase) -> RetrievalModel:
    return retrieval_model(tokenizer, Htsat(SMALL_HTSAT), SMALL_BERT, 32)


def small_captioner(tokenizer: PreTrainedTokenizerBase) -> Captioner:
    bart = BartForConditionalGeneration(bart_config(SMALL_BART, 50))
    return Captioner(Htsat(SMALL_HTSAT), bart, tokenizer, CaptionerSettings(bart=SMALL_BART))


def with_kernels(state: Mapping[str, Tensor], extractor: str) -> dict[str, Tensor]:
    """A state dict as it was released: with the front end's constants, which ours does not keep."""
    mel_filters = Htsat(SMALL_HTSAT).audio_feats_extractor.mel_filters
    return {
        **state,
        f"{extractor}mel_trans.stft.conv_real.weight": torch.zeros(513, 1, 1024),
        f"{extractor}mel_trans.stft.conv_imag.weight": torch.zeros(513, 1, 1024),
        f"{extractor}log_trans.melW": mel_filters.clone(),
    }


@pytest.fixture
def retrieval(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """What a retrieval `.pt` holds."""
    state = with_kernels(
        small_retrieval(tokenizer).state_dict(), "audio_encoder.audio_enc.audio_feats_extractor."
    )
    state[POSITION_IDS] = torch.arange(512).unsqueeze(0)
    adam = {
        "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(4)}},
        "param_groups": [{"lr": 5e-5}],
    }
    return {"model": state, "optimizer": adam, "config": {"training": {"epochs": 15}}, "epoch": 12}


def saved(path: Path, content: object, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def same(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in found)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
def test_retrieval(
    tmp_path: Path, retrieval: dict[str, Any], tokenizer: PreTrainedTokenizerBase, legacy: bool
) -> None:
    model = small_retrieval(tokenizer)
    found = load_released(saved(tmp_path / "htsat_bert.pt", retrieval, legacy), model)
    assert (found.family, found.epoch, found.config) == (Family.HTSAT_BERT, 12, {"training": {"epochs": 15}})
    assert found.tensors == len(retrieval["model"]) - 1
    loaded = {name: retrieval["model"][name] for name in model.state_dict()}
    assert same(model.state_dict(), loaded)


def test_captioning(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    source, model = small_captioner(tokenizer), small_captioner(tokenizer)
    state = with_kernels(source.state_dict(), "encoder.audio_enc.audio_feats_extractor.")
    path = saved(tmp_path / "htsat_bart.pt", {"model": state, "beam_size": 3, "epoch": 9, "config": {}})
    assert load_released(path, model).family is Family.HTSAT_BART
    assert same(model.state_dict(), source.state_dict())

    state["decoder.lm_head.weight"] = state["decoder.lm_head.weight"] + 1
    path = saved(tmp_path / "untied.pt", {"model": state})
    with pytest.raises(ReleasedCheckpointError, match=r"shares.*decoder\.lm_head\.weight"):
        load_released(path, model)


def test_htsat_trained_on_audioset(tmp_path: Path) -> None:
    source, model = Htsat(SMALL_HTSAT), Htsat(SMALL_HTSAT)
    state = with_kernels(source.state_dict(), "")
    renamed = {
        "mel_trans.": "spectrogram_extractor.",
        "log_trans.": "logmel_extractor.",
    }
    for ours, theirs in renamed.items():
        state = {name.replace(ours, theirs): value for name, value in state.items()}
    state = {f"sed_model.{name}": value for name, value in state.items()}
    path = saved(tmp_path / "HTSAT.ckpt", {"state_dict": state, "epoch": 40, "optimizer_states": []})
    found = load_released(path, model)
    assert (found.family, found.tensors) == (Family.AUDIOSET_HTSAT, len(state))
    assert same(model.state_dict(), source.state_dict())


@pytest.mark.parametrize("fc1_dim", [0, 9], ids=["retrieval", "captioning"])
def test_panns_cnn14_fills_all_but_its_last_layers(tmp_path: Path, fc1_dim: int) -> None:
    settings = Cnn14Settings(channels=(2, 2, 3, 3, 4, 4), fc1_dim=fc1_dim)
    source, model = Cnn14(settings), Cnn14(settings)
    own = None if model.fc1 is None else model.fc1.weight.clone()
    state = {name: value for name, value in source.state_dict().items() if not name.startswith("fc1")}
    state |= {
        "spectrogram_extractor.stft.conv_real.weight": torch.zeros(513, 1, 1024),
        "spectrogram_extractor.stft.conv_imag.weight": torch.zeros(513, 1, 1024),
        "logmel_extractor.melW": source.audio_feats_extractor.mel_filters.clone(),
    }
    classifier = {"fc1.weight": torch.zeros(4, 4), "fc1.bias": torch.zeros(4)}
    classifier |= {"fc_audioset.weight": torch.zeros(5, 4), "fc_audioset.bias": torch.zeros(5)}
    content = {"iteration": 600_000, "model": {**state, **classifier}}
    found = load_released(saved(tmp_path / "Cnn14.pth", content, legacy=True), model)
    assert (found.family, found.tensors) == (Family.PANNS_CNN14, len(state))
    loaded = {name: value for name, value in model.state_dict().items() if not name.startswith("fc1")}
    assert same(loaded, {name: state[name] for name in loaded})
    if model.fc1 is not None and own is not None:
        assert torch.equal(model.fc1.weight, own)

    state["logmel_extractor.melW"] = torch.zeros(513, 64)
    del state["conv_block2.bn1.weight"]
    path = saved(tmp_path / "other.pth", {"model": state})
    with pytest.raises(ReleasedCheckpointError, match=r"missing: conv_block2\.bn1\.weight;.*mel filters"):
        load_released(path, model)


def test_every_misfit_is_named_and_the_model_left_as_it_was(
    tmp_path: Path, retrieval: dict[str, Any], tokenizer: PreTrainedTokenizerBase
) -> None:
    state = retrieval["model"]
    for name in ("temp", "text_proj.2.bias"):
        del state[name]
    state["text_encoder.text_encoder.pooler.dense.weight"] = torch.zeros(1)
    state["text_encoder.text_encoder.position_ids"] = torch.zeros(1)
    state["audio_proj.0.weight"] = torch.zeros(32, 7)
    state["text_proj.0.bias"] = torch.zeros(33)
    state["audio_proj.0.bias"][3] = torch.nan
    state["audio_encoder.audio_enc.bn0.running_var"][0] = torch.inf
    state["audio_encoder.audio_enc.norm.bias"] = torch.zeros(64, dtype=torch.long)
    model = small_retrieval(tokenizer)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ReleasedCheckpointError) as raised:
        load_released(saved(tmp_path / "model.pt", retrieval), model)
    message = str(raised.value)
    for part in (
        "missing: temp, text_proj.2.bias;",
        "unknown: text_encoder.text_encoder.pooler.dense.weight, text_encoder.text_encoder.position_ids;",
        "audio_proj.0.weight (32, 7) instead of (32, 64)",
        "text_proj.0.bias (33,) instead of (32,)",
        "of another type: audio_encoder.audio_enc.norm.bias torch.int64 instead of torch.float32;",
        "with NaN: audio_proj.0.bias;",
        "with infinity: audio_encoder.audio_enc.bn0.running_var.",
        "unchanged",
    ):
        assert part in message
    assert same(model.state_dict(), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log_trans.melW": torch.zeros(513, 64)}, r"log_trans\.melW \(other mel filters\)"),
        ({"log_trans.melW": torch.zeros(257, 64)}, r"log_trans\.melW \(257, 64\) instead of \(513, 64\)"),
        ({"mel_trans.stft.conv_real.weight": torch.zeros(257, 1, 512)}, r"\(257, 1, 512\) instead of"),
    ],
)
def test_weights_of_another_spectrogram_are_refused(
    tmp_path: Path,
    retrieval: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    change: dict[str, Tensor],
    message: str,
) -> None:
    for name, value in change.items():
        retrieval["model"][f"audio_encoder.audio_enc.audio_feats_extractor.{name}"] = value
    with pytest.raises(ReleasedCheckpointError, match=f"not the log-mel front end's.*{message}"):
        load_released(saved(tmp_path / "model.pt", retrieval), small_retrieval(tokenizer))


@pytest.mark.parametrize(
    ("names", "title"),
    [
        (("encoder.audio_enc.conv_block6.bn1.bias", "decoder.model.shared.weight"), "CNN14-BART"),
        (("audio_encoder.audio_enc.conv_block6.bn1.bias", "text_encoder.text_encoder.x"), "CNN14-BERT"),
        (("spectrogram_extractor.x", "bn0.weight", "conv_block6.conv1.weight"), "PANNs' CNN14"),
        (
            ("spectrogram_extractor.x", "bn0.weight", "conv_block4.conv1.weight"),
            "a network of PANNs other",
        ),
        (("module.audio_branch.x", "module.text_branch.x"), "LAION's CLAP"),
        (("audio_encoder.base.x", "caption_encoder.base.x"), "Microsoft's CLAP"),
        (("model.diffusion_model.x",), "AudioLDM"),
        (("model.shared.weight",), "only a BART"),
        (("generator.x",), r"an unknown model \(generator\.x, \.\.\.\)"),
    ],
)
def test_another_model_is_named(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, names: tuple[str, ...], title: str
) -> None:
    path = saved(tmp_path / "other.pt", {"model": {name: torch.zeros(1) for name in names}})
    with pytest.raises(ReleasedCheckpointError, match=f"{title}.*to fill is WavCaps' retrieval.*HTSAT-BERT"):
        load_released(path, small_retrieval(tokenizer))


def test_arrays_beside_the_weights_are_let_through(
    tmp_path: Path, retrieval: dict[str, Any], tokenizer: PreTrainedTokenizerBase
) -> None:
    retrieval["sampler"] = {"indexes": np.arange(9), "weights": np.ones(3, np.float32), "pointer": 4}
    path = saved(tmp_path / "model.pt", retrieval)
    assert load_released(path, small_retrieval(tokenizer)).family is Family.HTSAT_BERT


ASE_HTSAT = (("keys_ase.txt", "ASE htsat", ""), ("keys_encoders.txt", "HTSAT", "audio_encoder.audio_enc."))
ASE_CNN14 = (("keys_ase.txt", "ASE Cnn14", ""), ("keys_encoders.txt", "CNN14", "audio_encoder.audio_enc."))


def released_content(lists: tuple[tuple[str, str, str], ...], mel_filters: Tensor) -> dict[str, Tensor]:
    """All tensors of a released model; each has one value throughout, of its own but for tied ones.

    Args:
        lists: files of names and shapes, the heading in each, and what to put before the names.
        mel_filters: what the front end holds.
    """
    if not KEYS.is_dir():
        pytest.skip(f"the lists of the released models' weights are not at {KEYS}")
    state: dict[str, Tensor] = {}
    for file, heading, prefix in lists:
        text = (KEYS / file).read_text()
        section = text[text.index(f"== {heading}") :].split("\n==")[0]
        listed = re.findall(r"^(\S+) \(([\d, ]*)\) (\w+)$", section, re.MULTILINE)
        for name, sizes, dtype in listed:
            shape = [int(size) for size in sizes.split(",") if size.strip()]
            tied = name.endswith(("embed_tokens.weight", "lm_head.weight", "shared.weight"))
            value = torch.tensor(1 if tied else len(state) + 2).to(getattr(torch, dtype))
            kernel = name.endswith("log_trans.melW")
            state[prefix + name] = mel_filters.clone() if kernel else value.expand(shape)
    return state


@pytest.mark.parametrize(
    ("audio_settings", "lists", "tensors", "parameters"),
    [
        pytest.param(HtsatSettings(), ASE_HTSAT, 406, 143_890_904, id="HTSAT-BERT"),
        pytest.param(Cnn14Settings(), ASE_CNN14, 286, 190_437_377, id="CNN14-BERT"),
        pytest.param(
            HtsatSettings(), (("keys_bart_htsat.txt", "htsat", ""),), 465, 171_336_151, id="HTSAT-BART"
        ),
        pytest.param(
            Cnn14Settings(fc1_dim=1024),
            (("keys_bart_cnn14.txt", "cnn14", ""),),
            347,
            218_866_688,
            id="CNN14-BART",
        ),
    ],
)
def test_models_of_the_released_sizes_take_the_released_weights(
    tmp_path: Path,
    tokenizer: PreTrainedTokenizerBase,
    audio_settings: HtsatSettings | Cnn14Settings,
    lists: tuple[tuple[str, str, str], ...],
    tensors: int,
    parameters: int,
) -> None:
    audio = build_audio_encoder(audio_settings)
    front_end = audio.audio_feats_extractor
    assert isinstance(front_end, LogMel)
    state = released_content(lists, front_end.mel_filters)
    content: dict[str, Tensor] = dict(state)
    model: nn.Module
    if "temp" in state:
        model = retrieval_model(tokenizer, audio, BertConfig(), 1024)
        content[POSITION_IDS] = torch.arange(512).unsqueeze(0)
    else:
        bart = BartForConditionalGeneration(bart_config(BartSettings()))
        model = Captioner(audio, bart, tokenizer, CaptionerSettings())
    found = load_released(saved(tmp_path / "model.pt", {"model": content}), model)
    assert (found.family, found.tensors) == (recognise(state), tensors)
    kernels = 2 * 513 * 1024 + 513 * 64
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters - kernels
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name
