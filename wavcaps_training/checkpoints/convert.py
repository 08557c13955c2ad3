"""A released checkpoint as a checkpoint of this project: safetensors, with its settings and its tokenizer."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from transformers import BertConfig

from wavcaps_training.checkpoints.checkpoint import save_checkpoint
from wavcaps_training.checkpoints.released import ReadCheckpoint, ReleasedCheckpoint, fill_model
from wavcaps_training.checkpoints.safe_files import ReleasedCheckpointError
from wavcaps_training.models.building import build_model
from wavcaps_training.models.text_encoder import minilm_folder
from wavcaps_training.settings.captioner import AnyTrainingSettings

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


@dataclass(frozen=True)
class Converted:
    """What was written.

    Attributes:
        found: what the released file contained.
        parameters: of the model.
    """

    found: ReleasedCheckpoint
    parameters: int


def convert_released(
    read: ReadCheckpoint,
    output: Path,
    settings: AnyTrainingSettings,
    text_folder: Path | None = None,
    name: str | None = None,
) -> Converted:
    """Writes a released checkpoint of WavCaps as a checkpoint of this project.

    Args:
        read: the released checkpoint.
        output: the file that is written.
        settings: of the model that it is of.
        text_folder: the configuration and the tokenizer of BERT or BART; None: of BERT, those of
            bert-base-uncased.
        name: the name of the released checkpoint, if it is a known one.

    Raises:
        ReleasedCheckpointError: it is of another model, or does not fit these settings; or it is a captioner
            and there is no folder of BART.
        TextModelError: the folder contains no BERT or BART.
        CheckpointError: a weight is not finite.
        StoreError: the file cannot be written.
    """
    with text_folder_for(read, settings, text_folder) as folder:
        model = build_model(settings, pretrained=False, text_folder=folder)
    found = fill_model(read, model)
    save_checkpoint(output, model, settings, released=name or "")
    return Converted(found, sum(parameter.numel() for parameter in model.parameters()))


@contextmanager
def text_folder_for(
    read: ReadCheckpoint, settings: AnyTrainingSettings, folder: Path | None
) -> Iterator[Path]:
    """The folder with the configuration and the tokenizer of the text model, which no released file has."""
    if folder is not None:
        yield folder
        return
    if settings.task != "retrieval":
        raise ReleasedCheckpointError(
            f"{read.path} is {read.family.title}, and its tokenizer is not in the file: name a folder with "
            "BART's config.json and tokenizer files, such as a copy of facebook/bart-base"
        )
    # MiniLM reads captions with the word pieces of bert-base-uncased, whose sizes are BertConfig's defaults.
    with tempfile.TemporaryDirectory() as name:
        BertConfig().save_pretrained(name)
        for file in TOKENIZER_FILES:
            if (minilm_folder() / file).is_file():
                shutil.copy(minilm_folder() / file, name)
        yield Path(name)
