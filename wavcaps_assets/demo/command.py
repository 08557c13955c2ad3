"""The demo: `wavcaps demo` makes everything, `wavcaps ui` shows it."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import dagster as dg

import wavcaps_assets.demo
from wavcaps_assets.demo.corpus import prepare_corpus
from wavcaps_assets.demo.language_model import LanguageModelError, running_model
from wavcaps_assets.demo.runs import Job, RunFailed, run_job, timed
from wavcaps_assets.demo.server import DemoServerError, serve
from wavcaps_assets.settings import Settings, Sources
from wavcaps_assets.sources import all_sources

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "demo"
REPORT = "report.html"
# At most: the downloads, their unpacked contents, tables, audio and weights.
NEEDED_BYTES = 1_000_000_000
# A small machine has no GPU. The CPU is used only where a setting says so, as here.
ENVIRONMENT = {
    "WAVCAPS_SOURCES": "embedded",
    "WAVCAPS_ON_MISSING_CUDA": "cpu",
    "DAGSTER_HOME": str(ROOT / "dagster_home"),
    "HF_HUB_OFFLINE": "1",
}
# The daemon starts new code servers every minute, and each old one warns that nobody talks to it any more.
QUIET_CODE_SERVERS = ("--code-server-log-level", "error")


@click.command()
def demo() -> None:
    """Crawl, caption, train and score on a small real corpus; then write the report."""
    started = time.monotonic()
    settings = prepare_environment()
    click.echo("Preparing the sources and the language model")
    with services(settings):
        run_everything(settings)
    report = settings.store_folder / REPORT
    click.echo(
        f"\nDone in {(time.monotonic() - started) / 60:.1f} minutes.\n"
        f"  The report:        {report}\n"
        f"  The tables, audio: {settings.store}\n"
        "  The lineage graph: make ui"
    )


@click.command()
@click.option("--port", default=3000, show_default=True, help="Port of the web UI.")
def ui(port: int) -> None:
    """The web UI, with the demo's sources and language model, which its runs need."""
    settings = prepare_environment()
    require_free_port(port)
    # When this process ends, so does all that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if not (settings.store_folder / REPORT).is_file():
        click.echo(
            "There is no report yet. `make demo` makes everything; in the UI you can do it step by step."
        )
    click.echo("Starting the sources, the language model, the web server and the daemon")
    with services(settings):
        click.echo(
            f"\n  The lineage graph: http://127.0.0.1:{port}/asset-groups\n  Ctrl-C stops everything.\n"
        )
        python = [sys.executable, "-W", "ignore", "-m"]
        workspace = ["-w", str(ROOT / "workspace.yaml"), "--log-level", "error", *QUIET_CODE_SERVERS]
        address = ["--host", "127.0.0.1", "--port", str(port), "--dagster-log-level", "error"]
        web = [*python, "dagster_webserver", *workspace, *address]
        daemon = [*python, "dagster._daemon", "run", *workspace]
        # In their own process groups: Ctrl-C reaches them once, from here.
        with (
            subprocess.Popen(web, cwd=ROOT, start_new_session=True) as web_server,
            subprocess.Popen(daemon, cwd=ROOT, start_new_session=True) as runner,
        ):
            try:
                web_server.wait()
            except KeyboardInterrupt:
                click.echo("\nStopping")
            finally:
                runner.terminate()
                web_server.terminate()


def prepare_environment() -> Settings:
    """Sets the environment that the demo's processes share, and checks that the demo can run.

    Raises:
        ClickException: other sources are set, or the disk is full.
    """
    # Only the demo's own lines: those of a step belong to its run, where the web UI shows them.
    console = logging.StreamHandler(sys.stdout)
    console.setFormatter(logging.Formatter("  %(message)s"))
    log = logging.getLogger(wavcaps_assets.demo.__name__)
    log.addHandler(console)
    log.setLevel(logging.INFO)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    settings = Settings()
    if settings.sources is not Sources.EMBEDDED:
        raise click.ClickException("the demo crawls its own server: unset WAVCAPS_SOURCES")
    try:
        folder = settings.store_folder
        folder.mkdir(parents=True, exist_ok=True)
    except ValueError as error:
        raise click.ClickException(
            f"the demo trains a model on its audio: {error}; unset it, or set it to a folder"
        ) from error
    except OSError as error:
        raise click.ClickException(
            f"cannot create {folder}: {error.strerror}; set WAVCAPS_STORE to another folder"
        ) from error
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise click.ClickException(
            f"{folder} has {free / 1e9:.1f} GB free and the demo needs {NEEDED_BYTES / 1e9:.0f} GB; "
            "free some space, or set WAVCAPS_STORE to another disk"
        )
    return settings


@contextmanager
def services(settings: Settings) -> Iterator[None]:
    """The demo's sources and language model, for as long as the context lasts."""
    corpus = prepare_corpus(CACHE)
    os.environ["WAVCAPS_CORPUS_NOTE"] = corpus.note
    with ExitStack() as stack:
        try:
            url = stack.enter_context(serve(corpus, settings.embedded_sources_port))
            click.echo(f"  sources: {len(corpus.clips)} clips at {url}")
            if settings.llm.base_url == settings.embedded_model_url:
                stack.enter_context(running_model(settings.embedded_model_port))
            click.echo(f"  language model: {settings.llm.model} at {settings.llm.base_url}")
        except (DemoServerError, LanguageModelError) as error:
            raise click.ClickException(str(error)) from error
        yield


def run_everything(settings: Settings) -> None:
    """Runs every job of the workspace, in the order of the lineage graph."""
    assets, training = "wavcaps_assets", "wavcaps_training"
    sources = all_sources(settings)
    chapters = {
        "Crawling the sources": [
            Job(assets, f"crawl_{source.name}", partition)
            for source in sources
            for partition in source.partitions()
        ],
        "Filtering, captioning and post-processing": [
            Job(assets, "caption_source", source.name) for source in sources
        ],
        "Publishing the set": [Job(assets, "publish")],
        "Training, on the train split, and scoring, on the test split": [Job(training, "train_and_score")],
        "Writing the report": [Job(training, "write_report")],
    }
    with dg.DagsterInstance.get() as instance:
        for chapter, jobs in chapters.items():
            click.echo(chapter)
            for job in jobs:
                try:
                    with timed(str(job), own_lines=job.location == training):
                        run_job(instance, job, ROOT)
                except RunFailed as error:
                    raise click.ClickException(f"{error}\nFor details: make ui, then Runs.") from error


def require_free_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise click.ClickException(f"port {port} is in use; choose another: make ui PORT=3001") from error
