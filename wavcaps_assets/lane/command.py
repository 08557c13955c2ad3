"""`wavcaps run`: the whole lane for the sources that take part, in the instance that the web UI shows."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
import dagster as dg
import yaml
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from wavcaps_assets.captioning.presets import wrong_setting
from wavcaps_assets.crawl.finished import finished_partitions, is_of_demo
from wavcaps_assets.lane.chapters import TINY, TRAINING, Stop, Training, chapters
from wavcaps_assets.lane.killed import lane_of
from wavcaps_assets.lane.outcome import SET_KEY, result_lines, with_reasons
from wavcaps_assets.lane.runs import Job, RunFailed, RunStopped, RunWaits, run_job, steps_of, timed
from wavcaps_assets.settings import Settings, Sources
from wavcaps_assets.sources import all_sources
from wavcaps_assets.sources.base import Source
from wavcaps_assets.store.storage import open_store
from wavcaps_assets.tables.asset_tables import TableStore

ROOT = Path(__file__).parents[2]
REPORT = "report.html"
CAPTIONING = "llm_captions"
# The settings of an instance, for a DAGSTER_HOME without any.
INSTANCE = ROOT / "dagster_home" / "dagster.yaml"


class TryAgain(click.ClickException):
    """A source or a model must not be asked now. The exit status is EX_TEMPFAIL of sysexits.h."""

    exit_code = 75


class StoppedByUser(click.ClickException):
    """By Ctrl-C. The exit status is the one that shells give it."""

    exit_code = 130


@click.command()
@click.option(
    "--until",
    "last",
    type=click.Choice([stop.value for stop in Stop]),
    default=Stop.REPORT.value,
    show_default=True,
    help="Where to stop.",
)
@click.option("--again", is_flag=True, help="Crawl finished partitions again, too.")
@click.option(
    "--paper-size", is_flag=True, help="Train the paper's model, which needs a GPU, and not a tiny one."
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file of the steps' settings, as in Dagster's launchpad: ops: {llm_captions: {config: ...}}.",
)
def run(last: str, again: bool, paper_size: bool, config_file: Path | None) -> None:
    """Run everything for the sources that take part: from the crawl to the report.

    It uses the instance of DAGSTER_HOME, so the web UI shows its runs. When it is stopped, start it again: no
    page, file, answer or training step is paid for twice. Partitions that are finished are not crawled again,
    except those of a folder on this machine, whose files may have changed.
    """
    started = time.monotonic()
    settings = prepare_home()
    sources = sources_to_run(settings)
    tables = tables_of(settings)
    refuse_demo_store(tables, sources)
    finished = {
        source.name: set() if again or source.folder else finished_partitions(tables, source.name)
        for source in sources
    }
    training = Training() if paper_size else TINY
    own = read_config(config_file) if config_file else {}
    require_steps(own, chapters(sources, {}, training))
    if Stop(last) is not Stop.CRAWL and CAPTIONING not in own:
        refuse_wrong_setting(sources, settings)
    lane = {
        title: [_configured(job, own) for job in jobs]
        for title, jobs in chapters(sources, finished, training, Stop(last)).items()
    }
    click.echo(f"Sources: {', '.join(source.title for source in sources)}")
    for source in sources:
        if finished[source.name]:
            click.echo(f"  {source.name}: {len(finished[source.name])} partitions are finished")
    try:
        run_chapters(lane, tables)
    except DBAPIError as error:
        raise click.ClickException(
            f"the instance in {os.environ['DAGSTER_HOME']} cannot be read or written: {error.orig}. What is "
            "done is kept: free some space, or repair it, and run this again"
        ) from error
    click.echo(f"\nDone in {(time.monotonic() - started) / 60:.1f} minutes. The store: {settings.store}")
    if Stop(last) not in (Stop.CRAWL, Stop.CAPTIONS):
        if not tables.rows(SET_KEY, None):
            raise click.ClickException(
                "the set has no clips. The lines above say behind each step which clips it dropped, and why"
            )
        click.echo(result_lines(tables, scores=Stop(last) is not Stop.PUBLISH))
    if Stop(last) is Stop.REPORT:
        click.echo(f"  The report: {tables.store.describe(REPORT)}")
    click.echo("  The lineage graph: wavcaps ui")


def run_chapters(lane: Mapping[str, Sequence[Job]], tables: TableStore) -> None:
    """Runs the jobs one after another, and prints a line for each, and for each step.

    If a job has to wait, the other jobs of its chapter still run.

    Raises:
        ClickException: a run failed, was stopped, or has to wait.
    """
    with dg.DagsterInstance.get() as instance, lane_of(instance) as owner:
        for title, jobs in lane.items():
            click.echo(title)
            waiting: dict[str, RunWaits] = {}
            for job in jobs:
                if job.name in waiting:
                    # Its other partitions are of the same site, or ask the same model.
                    continue
                try:
                    # A training takes minutes: its log has a line for each epoch.
                    long = job.location == TRAINING
                    with timed(str(job), own_lines=long):
                        done = run_job(instance, job, ROOT, owner, shows_log=long)
                except RunWaits as wait:
                    waiting[job.name] = wait
                except RunStopped as stop:
                    raise StoppedByUser(f"{stop}. What is done is kept: run this again.") from stop
                except RunFailed as error:
                    raise click.ClickException(f"{error}\nFor details: wavcaps ui, then Runs.") from error
                else:
                    for step in done:
                        click.echo(f"    {with_reasons(step, job, tables)}")
            if waiting:
                why = "\n".join(map(str, waiting.values()))
                raise TryAgain(f"{why}\nWhat is done is kept: run this again later.")


def prepare_home() -> Settings:
    """The settings of live sources, with the instance's folder in the environment.

    Raises:
        ClickException: the sources are not live, or a setting has a wrong value.
    """
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(ROOT / "dagster_home"))).absolute()
    os.environ["DAGSTER_HOME"] = str(home)
    try:
        settings = Settings()
        home.mkdir(parents=True, exist_ok=True)
        if INSTANCE.is_file() and not (home / INSTANCE.name).exists():
            shutil.copyfile(INSTANCE, home / INSTANCE.name)
    except ValidationError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"DAGSTER_HOME: cannot create {home}: {error.strerror}") from error
    if settings.sources is not Sources.LIVE:
        raise click.ClickException(
            "this runs live sources: export WAVCAPS_SOURCES=live. For the demo: wavcaps demo"
        )
    return settings


def sources_to_run(settings: Settings) -> tuple[Source, ...]:
    """The sources that take part.

    Raises:
        ClickException: there are none, or a setting of theirs is wrong.
    """
    try:
        sources = all_sources(settings)
    except (ValidationError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    if not sources:
        raise click.ClickException("no source takes part; `wavcaps sources` says what each needs")
    return sources


def refuse_wrong_setting(sources: Sequence[Source], settings: Settings) -> None:
    """Refuses settings with which captioning would fail, after a crawl that may take weeks.

    Raises:
        ClickException: says which setting is wrong.
    """
    for source in sources:
        if wrong := wrong_setting(source.name, source.as_given, settings):
            raise click.ClickException(wrong)


def tables_of(settings: Settings) -> TableStore:
    return TableStore(
        open_store(settings.store, settings.s3.endpoint_url or None, settings.s3.region or None)
    )


def refuse_demo_store(tables: TableStore, sources: Sequence[Source]) -> None:
    """Refuses a store of the demo, whose clips would be published as those of the sites.

    Raises:
        ClickException: names the store.
    """
    if any(is_of_demo(tables, source.name) for source in sources):
        raise click.ClickException(
            f"{tables.store.describe('tables')} has the demo's clips: move this store away, with the history "
            "next to it, or set WAVCAPS_STORE to another folder"
        )


def read_config(path: Path) -> dict[str, dict[str, Any]]:
    """The settings of the steps in a YAML file of the launchpad's form.

    Raises:
        ClickException: the file has another form.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return {step: dict(entry["config"]) for step, entry in document["ops"].items()}
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise click.ClickException(
            f"{path} must have the form of Dagster's launchpad, such as "
            "ops: {llm_captions: {config: {method: rules}}}"
        ) from error


def require_steps(own: Mapping[str, Any], lane: Mapping[str, Sequence[Job]]) -> None:
    """Checks the names of the steps that a person configures.

    Raises:
        ClickException: no job of the lane has such a step; says which is nearest.
    """
    if not own:
        return
    jobs = {job.name: job for chapter in lane.values() for job in chapter}
    known = sorted({name for job in jobs.values() for name in steps_of(job, ROOT)})
    for name in own:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise click.ClickException(f"There is no step {name!r}: {meant}The steps are {', '.join(known)}")


def _configured(job: Job, own: Mapping[str, Mapping[str, Any]]) -> Job:
    """The job, with what a person sets for its steps."""
    chosen = {name: own[name] for name in steps_of(job, ROOT) if name in own}
    merged = {name: {**job.config.get(name, {}), **values} for name, values in chosen.items()}
    return replace(job, config={**job.config, **merged})
