"""Human validation without the UI: `wavcaps rate draw`, later `wavcaps rate score FOLDER`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from wavcaps_assets.settings import Settings
from wavcaps_assets.store.storage import StoreError, open_store
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_assets.validation.figures import raters_table, reasons_table, scores_table
from wavcaps_assets.validation.scores import score_study
from wavcaps_assets.validation.settings import RatingsSettings, ScoreSettings, StudySettings
from wavcaps_assets.validation.study_files import read_answers, read_key, write_study


def _without_traceback(command: Callable[..., None]) -> Callable[..., None]:
    """Prints an error that a person can fix as one line."""

    @functools.wraps(command)
    def wrapped(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except ValidationError as error:
            first = error.errors()[0]
            raise click.ClickException(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        except (StoreError, ValueError, LookupError) as error:
            raise click.ClickException(str(error.args[0] if error.args else error)) from error

    return wrapped


def _tables() -> TableStore:
    settings = Settings()
    return TableStore(
        open_store(settings.store, settings.s3.endpoint_url or None, settings.s3.region or None)
    )


def _default(model: type[StudySettings] | type[RatingsSettings], name: str) -> Any:
    return model.model_fields[name].default


@click.group()
def rate() -> None:
    """Let people listen to clips, rate their captions and compare them (section III.D of the paper).

    \b
    1. `draw` samples clips and writes one HTML page. Send it to the raters.
    2. They send back the files that the page saves. Put them into a folder.
    3. `score` reads the folder and prints mean ratings and agreement.

    The set is read from the store (WAVCAPS_STORE), and the results are written there.
    """


@rate.command()
@click.option("--clips", default=_default(StudySettings, "clips"), show_default=True, help="Number of clips.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    help="Draw from this source. Can be given several times.  [default: freesound]",
)
@click.option("--all-sources", is_flag=True, help="Draw from all sources.")
@click.option("--per-source", is_flag=True, help="Draw the same number of clips from each source.")
@click.option(
    "--longest",
    "longest_s",
    default=_default(StudySettings, "longest_s"),
    show_default=True,
    help="Longest clip, in seconds.",
)
@click.option(
    "--second-captions",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV or Parquet file of captions to compare with (columns clip_id and caption).",
)
@click.option(
    "--seed",
    default=_default(StudySettings, "seed"),
    show_default=True,
    help="Another seed draws other clips.",
)
@_without_traceback
def draw(
    clips: int,
    sources: tuple[str, ...],
    all_sources: bool,
    per_source: bool,
    longest_s: float,
    second_captions: Path | None,
    seed: str,
) -> None:
    """Draw a study from the set and write the raters' page."""
    drawn_from = [] if all_sources else list(sources) or _default(StudySettings, "sources")
    settings = StudySettings(
        clips=clips,
        sources=drawn_from,
        per_source=per_source,
        longest_s=longest_s,
        second_captions="" if second_captions is None else str(second_captions.absolute()),
        seed=seed,
    )
    tables = _tables()
    written = write_study(tables.read(["wavcaps"], [WHOLE]), settings, tables.store)
    study = written.study
    tables.write(["validation_study"], None, study.key)
    click.echo(f"Study {study.study_id}: {study.key.num_rows} clips")
    for reason, count in study.excluded.items():
        click.echo(f"  not drawn, {reason}: {count}")
    for clip_id, problem in study.unusable.items():
        click.echo(f"  without usable audio: {clip_id}: {problem}")
    click.echo(f"The raters' page, {written.page_bytes / 1e6:.1f} MB: {tables.store.describe(written.page)}")


@rate.command()
@click.argument("ratings", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--study", default="", help="Id of the study.  [default: the last one]")
@_without_traceback
def score(ratings: Path | None, study: str) -> None:
    """Read the raters' files in the folder RATINGS and print the scores."""

    tables = _tables()
    folder = _default(RatingsSettings, "ratings") if ratings is None else str(ratings.absolute())
    key = read_key(study, tables.store) if study else tables.read(["validation_study"], [WHOLE])
    answers = read_answers(key, RatingsSettings(ratings=folder), tables.store)
    scores = score_study(answers.ratings, ScoreSettings())
    tables.write(["validation_ratings"], None, answers.ratings)
    tables.write(["validation_scores"], None, scores)
    for part in (scores_table(scores), raters_table(answers.raters), reasons_table(answers.ratings)):
        click.echo(f"{part}\n")
