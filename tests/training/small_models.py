"""A BERT so small that loading and saving it takes no time, for tests whose subject is not the language."""

from __future__ import annotations

import atexit
import json
import shutil
import string
import tempfile
from functools import cache
from pathlib import Path

import torch
from transformers import BertConfig, BertModel

CHARACTERS = string.ascii_lowercase + string.digits
VOCABULARY = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *CHARACTERS,
    *(f"##{character}" for character in CHARACTERS),
)


@cache
def small_bert() -> Path:
    """A folder with a BERT of one layer with random weights, which reads captions letter by letter.

    It is removed when the process ends.
    """
    folder = Path(tempfile.mkdtemp(prefix="small-bert-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    )
    config = BertConfig(
        vocab_size=len(VOCABULARY),
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
