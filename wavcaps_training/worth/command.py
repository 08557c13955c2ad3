"""The command `wavcaps worth`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click
import yaml
from pydantic import ValidationError

from wavcaps_assets.settings import Settings
from wavcaps_assets.show.progress import progress_bar
from wavcaps_assets.store.storage import open_store
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.worth.sides import KINDS

if TYPE_CHECKING:
    from wavcaps_training.worth.job import Worth

SEEDS = 8


@click.command()
@click.argument("before", required=False, default="")
@click.argument("after", required=False, default="")
@click.option("--each", type=click.Choice(KINDS), help="Compare AFTER with itself without each of these.")
@click.option("--seeds", type=click.IntRange(2), default=SEEDS, show_default=True, help="Seeds of each side.")
@click.option(
    "--references",
    default="before",
    show_default=True,
    help="Whose captions the test clips are searched by: `before`, `after`, or a side.",
)
@click.option(
    "--set",
    "chosen",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the model or its training, such as epochs=30. May be repeated.",
)
@click.option("--device", default="cpu", show_default=True, help="`cpu` or `cuda`.")
def worth(
    before: str,
    after: str,
    each: str | None,
    seeds: int,
    references: str,
    chosen: tuple[str, ...],
    device: str,
) -> None:
    """Show what a change of the data is worth: which captions changed, and what that did to R@k.

    BEFORE and AFTER are versions, such as v3, or stages, such as before_stage_1; a side may leave something
    out ("latest without source=freesound") or have other captions ("latest with captions=raw"). Without them,
    the newest version is compared with the one before it. The result is a page in the store
    (docs/worth.md). Seeds that are trained are kept: the same command continues where it was stopped.
    """
    if each and before and not after:
        # Of a loop, the one side that is given.
        before, after = "", before
    if each and before:
        raise click.UsageError("with --each, give one side at most: it is compared with itself without parts")
    changes = _changes(chosen)
    # They import torch.
    from wavcaps_training.training.final_errors import FINAL_ERRORS
    from wavcaps_training.worth.comparing import model_of
    from wavcaps_training.worth.job import Request, what_is_it_worth
    from wavcaps_training.worth.seed_runs import AlreadyRunning, Machine

    logging.getLogger("wavcaps_training").setLevel(logging.WARNING)
    own = Settings()
    tables = TableStore(open_store(own.store, own.s3.endpoint_url or None, own.s3.region or None))
    try:
        model = model_of(changes, seeds)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise click.UsageError("; ".join(faults)) from error
    request = Request(before, after, each or "", references)
    try:
        with progress_bar("training seeds", 0, "seeds") as progress:
            found = what_is_it_worth(request, model, tables, Machine(own.state / "worth", device), progress)
    except (OSError, AlreadyRunning, ValueError, *FINAL_ERRORS) as error:
        raise click.ClickException(str(error)) from error
    _say(found, tables)


def _say(found: Worth, tables: TableStore) -> None:
    for one in found.shown:
        click.echo(f"{one.headline}")
        for line in (*one.sentences, *one.cautions, *one.comparison.notes):
            click.echo(f"  {line}")
        counted = ", ".join(f"{number:,} {name.lower()}" for name, number in one.counts.items() if number)
        click.echo(f"  Changed in what is trained on: {counted or 'nothing'}.")
    click.echo(f"The page: {tables.store.describe(found.page)}")


def _changes(chosen: tuple[str, ...]) -> dict[str, Any]:
    """Settings as they are nested, from `a.b=value`."""
    changes: dict[str, Any] = {}
    for one in chosen:
        name, equals, text = one.partition("=")
        if not equals:
            raise click.UsageError(f"--set {one}: write NAME=VALUE")
        place = changes
        *path, last = name.split(".")
        for part in path:
            place = place.setdefault(part, {})
        try:
            place[last] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise click.UsageError(f"--set {one}: {text!r} is not a value") from error
    return changes
