"""The command `wavcaps score`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import ValidationError

from wavcaps_assets.settings import Settings
from wavcaps_assets.show.progress import progress_bar
from wavcaps_assets.sources import all_sources
from wavcaps_assets.store.storage import StoreError, open_store
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.scoring.shown import as_lines


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--benchmark",
    "benchmarks",
    multiple=True,
    metavar="NAME",
    help="Only this benchmark. May be repeated. Without it, all that are in the store.",
)
@click.option("--protocol", default="", metavar="NAME", help="The task's protocol; by default the paper's.")
@click.option(
    "--text-model",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="For a released file: a folder with bert-base-uncased's or bart-base's configuration and tokenizer.",
)
@click.option(
    "--set",
    "chosen",
    multiple=True,
    metavar="NAME=VALUE",
    help="For a released file of another size: a setting of its model, such as model.joint_dim=512. May be "
    "repeated.",
)
def score(
    path: Path, benchmarks: tuple[str, ...], protocol: str, text_model: Path | None, chosen: tuple[str, ...]
) -> None:
    """Score a checkpoint on the benchmarks in the store.

    PATH is a safetensors file of this project, the folder of a training run, or a file that the authors of
    WavCaps released. It is scored at all tasks that its model is for (docs/scores.md). The store is the one
    that WAVCAPS_STORE names. The exit status is 1 if nothing could be scored.
    """
    # torch takes seconds.
    from wavcaps_training.checkpoints.checkpoint import CheckpointError
    from wavcaps_training.checkpoints.safe_files import ReleasedCheckpointError
    from wavcaps_training.evaluation.caption_scores.java import JavaError
    from wavcaps_training.evaluation.ranking import BrokenEmbeddings
    from wavcaps_training.models.text_encoder import TextModelError
    from wavcaps_training.scoring.files import Request, score_file

    changes = _nested(chosen)
    machine = Settings()
    tables = TableStore(open_store(machine.store, machine.s3.endpoint_url or None, machine.s3.region or None))
    ids_of = {source.name: source.ids_of for source in all_sources(machine) if source.ids_of is not None}
    # The folder of a run may be this one.
    request = Request(path if path.name else path.absolute(), benchmarks, protocol, text_model, changes)
    try:
        with progress_bar("scoring", 0, "benchmarks") as progress:
            found = score_file(request, tables, _device(), ids_of, progress)
    except (
        BrokenEmbeddings,
        CheckpointError,
        JavaError,
        NothingToScore,
        ReleasedCheckpointError,
        StoreError,
        TextModelError,
        ValidationError,
    ) as error:
        raise click.ClickException(str(error)) from error
    for task, name, scores in found.scored:
        click.echo("\n".join(as_lines(task, name, scores)) + "\n")
    for name, why in found.not_scored.items():
        click.echo(f"{name} was not scored: {why}", err=True)


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _nested(chosen: tuple[str, ...]) -> dict[str, Any]:
    """Settings by their names with dots, nested."""
    changes: dict[str, Any] = {}
    for one in chosen:
        name, equals, text = one.partition("=")
        if not equals:
            raise click.UsageError(f"--set {one}: write NAME=VALUE")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise click.UsageError(f"--set {one}: {text!r} is not a value") from error
        *outer, last = name.split(".")
        inner = changes
        for part in outer:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return changes
