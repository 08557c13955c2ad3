"""The text model's files in a checkpoint: its tokenizer and its configuration.

Weights mean something only together with the tokenizer whose ids they were trained on. A checkpoint therefore
contains it, and needs no folder of the machine that it was trained on.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

CONFIG, TOKENIZER, TOKENIZER_CONFIG = "config.json", "tokenizer.json", "tokenizer_config.json"
# No other file is taken from a checkpoint: not a template, and no code.
NAMES = (CONFIG, TOKENIZER, TOKENIZER_CONFIG)
# What the last call of a tokenizer left in it, and the class that `auto_map` would load from a file of code.
OF_A_CALL = ("truncation", "padding")
CODE = "auto_map"


class TextFilesError(ValueError):
    """The text model's files in a checkpoint are not complete."""


def text_files_of(model: nn.Module) -> dict[str, str]:
    """The files of a model's text model, by their names; empty: the model has none.

    Args:
        model: one with `tokenizer` and `text_config`, as `RetrievalModel` and `Captioner` have them.
    """
    if not hasattr(model, "tokenizer"):
        return {}
    tokenizer: Any = model.tokenizer
    config: Any = model.text_config
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer.save_pretrained(folder)
        config.save_pretrained(folder)
        files = {name: (folder / name).read_text() for name in NAMES}
    return {**files, TOKENIZER: json.dumps(vocabulary(files), ensure_ascii=False)}


def vocabulary(files: Mapping[str, str]) -> dict[str, Any]:
    """How a tokenizer makes ids of a text: the same for two tokenizers that were called differently."""
    content: dict[str, Any] = json.loads(files[TOKENIZER])
    return {**content, **dict.fromkeys(OF_A_CALL)}


@contextmanager
def text_folder(files: Mapping[str, str]) -> Iterator[Path]:
    """A temporary folder with the files, from which a tokenizer is read.

    Raises:
        TextFilesError: a file is missing, or is not a JSON object; or it names code.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            try:
                content = json.loads(files[name])
            except (KeyError, TypeError, ValueError) as error:
                raise TextFilesError(f"its text model's {name} is missing or is not JSON") from error
            if not isinstance(content, dict) or CODE in content:
                raise TextFilesError(f"its text model's {name} is not plain data")
            (Path(folder) / name).write_text(files[name])
        yield Path(folder)
