"""A BERT and a BART that are fast to load, train and save, for tests whose subject is not the language."""

from __future__ import annotations

import atexit
import json
import shutil
import string
import tempfile
from functools import cache
from pathlib import Path

import torch
from transformers import BartForConditionalGeneration, BertConfig, BertModel

from wavcaps_training.models.captioner import SpecialTokens, bart_config
from wavcaps_training.models.text import clean_caption
from wavcaps_training.settings.captioner import BartSettings
from wavcaps_training.settings.encoder import FrontEndSettings
from wavcaps_training.settings.encoders.htsat import HtsatSettings
from wavcaps_training.settings.generation import (
    AutoencoderSettings,
    GeneratorSettings,
    UNetSettings,
    Vocoder,
)

# Of two stages, for tests whose subject is not the sound.
SMALL_HTSAT = HtsatSettings(
    front_end=FrontEndSettings(window=2048, hop=1280),
    spec_size=128,
    patch_size=8,
    embed_dim=16,
    depths=(1, 1),
    heads=(1, 2),
    classes=4,
)
SMALL_AUTOENCODER = AutoencoderSettings(
    channels=8, multipliers=(1, 1, 2), blocks=1, groups=4, latent_channels=4, vocoder=Vocoder.GRIFFIN_LIM
)
SMALL_GENERATOR = GeneratorSettings(
    audio=SMALL_AUTOENCODER,
    unet=UNetSettings(channels=16, multipliers=(1, 2), blocks=1, head_dim=8, groups=8),
    condition_dim=16,
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CHARACTERS = string.ascii_lowercase + string.digits
LETTERS = (*CHARACTERS, *(f"##{character}" for character in CHARACTERS))


def new_folder(vocabulary: tuple[str, ...]) -> Path:
    """A folder with a tokenizer. It is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="small-model-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "vocab.txt").write_text("\n".join((*SPECIAL, *vocabulary)))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    )
    return folder


@cache
def small_bert() -> Path:
    """A folder with a BERT of one layer with random weights, which reads captions letter by letter."""
    folder = new_folder(LETTERS)
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(LETTERS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@cache
def small_bart(captions: tuple[str, ...], settings: BartSettings) -> Path:
    """A folder with a BART with random weights, which knows the words of some captions.

    Args:
        captions: whose words it knows.
        settings: its sizes.
    """
    words = tuple(sorted({word for caption in captions for word in clean_caption(caption).split()}))
    folder = new_folder(words)
    begin, end = SPECIAL.index("[CLS]"), SPECIAL.index("[SEP]")
    tokens = SpecialTokens(begin=begin, pad=SPECIAL.index("[PAD]"), end=end)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = bart_config(settings, len(SPECIAL) + len(words), tokens)
        BartForConditionalGeneration(config).save_pretrained(folder)
    return folder
