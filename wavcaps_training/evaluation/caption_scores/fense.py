"""FENSE (Zhou et al., 2022, https://arxiv.org/abs/2110.04684): likeness of sentences, less for bad grammar.

Two models judge: a Sentence-BERT compares a caption with its references, and a BERT finds errors of fluency,
such as an unfinished or repeated part. They are read from the folder of metric files, by the names that their
authors gave them. The steps and thresholds are those of the authors' code
(https://github.com/blmoistawinde/fense).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerBase

from wavcaps_training.checkpoints.safe_files import ReleasedCheckpointError, read_pickle
from wavcaps_training.models.text_encoder import minilm_folder, quiet_transformers

SENTENCE_BERT = "paraphrase-TinyBERT-L6-v2"
ERROR_FINDER = "echecker_clotho_audiocaps_base.ckpt"
SENTENCES_AT_A_TIME = 64
# Of Sentence-BERT and of the error finder.
MAX_TOKENS, MAX_TOKENS_OF_FINDER = 128, 64
# A caption has an error if it is more probable than this, and then it loses this share of its score.
ERROR_PROBABILITY, PENALTY = 0.9, 0.9
PUNCTUATION = re.compile(r"[^\w\s]")
# BERT-base, and all smaller BERTs of its authors, have heads of this width.
HEAD_WIDTH = 64
LAYER = re.compile(r"encoder\.encoder\.layer\.(\d+)\.")

logger = logging.getLogger(__name__)


class MetricModelError(ValueError):
    """A model of FENSE is damaged or of another kind."""


def sentence_bert_lacks(folder: Path | None) -> str:
    """What the likeness of sentences needs and the folder does not have; empty: nothing."""
    if folder is not None and (folder / SENTENCE_BERT / "config.json").is_file():
        return ""
    return f"the folder {SENTENCE_BERT}, from https://huggingface.co/sentence-transformers/{SENTENCE_BERT}"


def error_finder_lacks(folder: Path | None) -> str:
    """What the error finder needs and the folder does not have; empty: nothing."""
    if folder is not None and (folder / ERROR_FINDER).is_file():
        return ""
    return f"{ERROR_FINDER}, from https://github.com/blmoistawinde/fense/releases/tag/V0.1"


@torch.no_grad()
def likeness(
    captions: Sequence[str], references: Sequence[Sequence[str]], folder: Path, device: str = "cpu"
) -> np.ndarray:
    """The mean cosine of each caption with its references, by Sentence-BERT: (clips,), -1 to 1.

    Args:
        captions: one a clip, as it was written.
        references: one or several for each clip, as they were written.
        folder: has the folder `SENTENCE_BERT`.
        device: `cpu` or `cuda`.

    Raises:
        MetricModelError: the model cannot be read.
    """
    where = folder / SENTENCE_BERT
    try:
        with quiet_transformers():
            model = AutoModel.from_pretrained(where, local_files_only=True).to(device).eval()
        tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=True)
    except (OSError, ValueError) as error:
        raise MetricModelError(f"the Sentence-BERT in {where} cannot be read: {error}") from error
    distinct = sorted({*captions, *(text for own in references for text in own)})
    parts = []
    for texts in _batches(distinct):
        tokens = tokenizer(
            texts, padding="longest", truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        ).to(device)
        states = model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(2).to(states.dtype)
        means = (states * mask).sum(dim=1) / mask.sum(dim=1)
        parts.append(torch.nn.functional.normalize(means, dim=1).cpu())
    vectors = dict(zip(distinct, torch.cat(parts).double().numpy(), strict=True))
    return np.array(
        [
            np.mean([vectors[caption] @ vectors[text] for text in own])
            for caption, own in zip(captions, references, strict=True)
        ]
    )


@torch.no_grad()
def error_probabilities(captions: Sequence[str], folder: Path, device: str = "cpu") -> np.ndarray:
    """How probable it is that each caption has an error of fluency: (clips,), 0 to 1.

    Args:
        captions: one a clip, as it was written.
        folder: has the file `ERROR_FINDER`.
        device: `cpu` or `cuda`.

    Raises:
        MetricModelError: the model cannot be read.
    """
    finder, classifier = _read_finder(folder / ERROR_FINDER, device)
    tokenizer = AutoTokenizer.from_pretrained(minilm_folder(), local_files_only=True)
    _same_vocabulary(tokenizer, finder)
    probabilities = []
    for texts in _batches([PUNCTUATION.sub("", caption).lower() for caption in captions]):
        tokens = tokenizer(
            texts, padding="longest", truncation=True, max_length=MAX_TOKENS_OF_FINDER, return_tensors="pt"
        ).to(device)
        states = finder(**tokens).last_hidden_state[:, 0]
        # The last class is any error.
        probabilities.append(classifier(states).sigmoid()[:, -1].cpu())
    return torch.cat(probabilities).double().numpy()


def _read_finder(path: Path, device: str) -> tuple[BertModel, torch.nn.Linear]:
    """The error finder: a BERT, and the layer that classifies its first token. No code of the file is run."""
    try:
        weights = _weights_of(path)
        bert = {
            name.removeprefix("encoder."): tensor
            for name, tensor in weights.items()
            # Versions of transformers before 4.31 stored it.
            if name.startswith("encoder.") and not name.endswith("embeddings.position_ids")
        }
        model = BertModel(_config_of(weights))
        model.load_state_dict(bert)
        classifier = torch.nn.Linear(weights["clf.weight"].shape[1], weights["clf.weight"].shape[0])
        classifier.load_state_dict({"weight": weights["clf.weight"], "bias": weights["clf.bias"]})
    except (ReleasedCheckpointError, KeyError, RuntimeError, ValueError) as error:
        raise MetricModelError(f"{path} is not FENSE's error finder: {error}") from error
    for part in (model, classifier):
        part.eval().to(torch.device(device))
    return model, classifier


def _weights_of(path: Path) -> Mapping[str, Tensor]:
    content: Any = read_pickle(path)["state_dict"]
    return {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}


def _config_of(weights: Mapping[str, Tensor]) -> BertConfig:
    """The sizes of a BERT, from the shapes of its weights."""
    words, width = weights["encoder.embeddings.word_embeddings.weight"].shape
    layers = {match[1] for name in weights if (match := LAYER.match(name))}
    return BertConfig(
        vocab_size=words,
        hidden_size=width,
        num_hidden_layers=len(layers),
        num_attention_heads=max(1, width // HEAD_WIDTH),
        intermediate_size=weights["encoder.encoder.layer.0.intermediate.dense.weight"].shape[0],
        max_position_embeddings=weights["encoder.embeddings.position_embeddings.weight"].shape[0],
    )


def _same_vocabulary(tokenizer: PreTrainedTokenizerBase, model: BertModel) -> None:
    if len(tokenizer) != model.config.vocab_size:
        raise MetricModelError(
            f"FENSE's error finder knows {model.config.vocab_size} word pieces, and bert-base-uncased has "
            f"{len(tokenizer)}: it is another model than {ERROR_FINDER}"
        )


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(texts), SENTENCES_AT_A_TIME):
        yield list(texts[start : start + SENTENCES_AT_A_TIME])
