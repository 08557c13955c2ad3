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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import click
from dagster import DagsterInstance

import wavcaps_assets.demo
from wavcaps_assets.benchmark_sets.benchmarks.demo_sounds import BENCHMARK as DEMO_SOUNDS
from wavcaps_assets.demo.corpus import prepare_corpus
from wavcaps_assets.demo.language_model import LanguageModelError, running_model
from wavcaps_assets.demo.planted import REPORT as DECONTAMINATION_REPORT
from wavcaps_assets.demo.planted import plant, planted_lines
from wavcaps_assets.demo.server import DemoServerError, serve
from wavcaps_assets.environment import DOTENV, JOINT, PREFIX, of_sources, read_dotenv
from wavcaps_assets.exports.alone import FOLDER as EXPORTS_FOLDER
from wavcaps_assets.lane.chapters import ASSETS, TRAINING, Training, chapters
from wavcaps_assets.lane.command import (
    INSTANCE,
    prepare_home,
    refuse_demo_store,
    run_chapters,
    sources_to_run,
    tables_of,
)
from wavcaps_assets.lane.outcome import result_lines
from wavcaps_assets.lane.runs import Job
from wavcaps_assets.settings import Settings, Sources
from wavcaps_assets.sources import all_sources
from wavcaps_assets.tables.asset_tables import WHOLE

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "demo"
REPORT = "report.html"
# Of further lines of one result.
INDENT = "\n" + 21 * " "
# A set of this size is exported in seconds, so the demo does it.
EXPORTS = {"Exporting the set in the formats of other tools": [Job(ASSETS, "export_all")]}
# Few steps of the sampler, and one sound for each text.
TEXT_TO_SOUND = {
    "Training text to sound": [Job(TRAINING, "text_to_sound")],
    "Scoring the sounds that it makes": [
        Job(
            TRAINING,
            "score_generation_demo_sounds",
            config={"scores__generation__demo_sounds__audioldm__demo": {"protocol": "quick"}},
        )
    ],
    "Writing the report": [Job(TRAINING, "write_report")],
}
DECONTAMINATION = {
    "Looking for a benchmark's sounds in the set": [
        Job(ASSETS, f"compare_audio_{DEMO_SOUNDS.name}"),
        Job(TRAINING, f"compare_embeddings_{DEMO_SOUNDS.name}"),
    ]
}
# At most: the downloads, their unpacked contents, tables, audio, weights and exports.
NEEDED_BYTES = 1_400_000_000
# The demo's own instance and store. Those of live sources are in DAGSTER_HOME and WAVCAPS_STORE.
HOME = ROOT / "dagster_home" / "demo"
# A small machine has no GPU. The CPU is used only where a setting says so, as here.
ENVIRONMENT = {
    "WAVCAPS_SOURCES": "embedded",
    "WAVCAPS_ON_MISSING_CUDA": "cpu",
    "HF_HUB_OFFLINE": "1",
    # Without a model: the embedded one would take minutes for each kind.
    "WAVCAPS_OTHER_CAPTIONS": "tags,temporal",
}
# Settings that may be those of live sources in the same terminal.
OF_LIVE_SOURCES = ("SOURCE_NAMES", "STORE", "STATE", "S3__", "RECORDINGS_URL")


def home_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        default=HOME,
        help="Folder of the demo's instance and store.  [default: dagster_home/demo]",
    )(command)


@click.command()
@home_option
@click.option(
    "--sound",
    is_flag=True,
    help="Only train the demo's text to sound, on what an earlier demo published; then write the report.",
)
def demo(home: Path, sound: bool) -> None:
    """Crawl, caption, train and score on a small real corpus; then write the report.

    The demo has its own instance and store: those of live sources stay as they are.
    """
    started = time.monotonic()
    settings = prepare_environment(home)
    if sound:
        _text_to_sound(settings, started)
        return
    click.echo("Preparing the sources and the language model")
    with services(settings):
        lane = chapters(all_sources(settings), {}, Training())
        run_chapters({**lane, **EXPORTS}, tables_of(settings))
        plant(tables_of(settings))
        run_chapters(DECONTAMINATION, tables_of(settings))
        planted = planted_lines(tables_of(settings))
    report = settings.store_folder / REPORT
    click.echo(
        f"\nDone in {(time.monotonic() - started) / 60:.1f} minutes.\n"
        f"{result_lines(tables_of(settings))}\n"
        f"  Decontamination:   {INDENT.join(planted)}\n"
        f"                     {settings.store_folder / DECONTAMINATION_REPORT}\n"
        f"  The report:        {report}\n"
        f"  The tables, audio: {settings.store}\n"
        f"  The exports:       {settings.store_folder / EXPORTS_FOLDER}\n"
        "  The lineage graph: make ui"
    )


def _text_to_sound(settings: Settings, started: float) -> None:
    """Trains the demo's text to sound.

    Raises:
        ClickException: there is no demo to make it from.
    """
    if not tables_of(settings).rows(["checkpoint", "aisfx_minilm", "demo"], WHOLE):
        raise click.ClickException("there is no demo here yet, whose sounds and model are needed: make demo")
    with services(settings):
        run_chapters(TEXT_TO_SOUND, tables_of(settings))
    click.echo(
        f"\nDone in {(time.monotonic() - started) / 60:.1f} minutes.\n"
        f"  The report plays the sounds: {settings.store_folder / REPORT}"
    )


@click.command()
@click.option("--port", default=3000, show_default=True, help="Port of the web UI.")
@home_option
def ui(port: int, home: Path) -> None:
    """The web UI of the demo; with WAVCAPS_SOURCES=live, that of live sources.

    The demo's has the sources and the language model, which its runs need.
    """
    require_free_port(port)
    # When this process ends, so does all that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # A shell starts its background commands with SIGINT ignored. `dagster dev` then ignores SIGTERM too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.environ.get("WAVCAPS_SOURCES") == Sources.LIVE:
        settings = prepare_home()
        sources = sources_to_run(settings)
        refuse_demo_store(tables_of(settings), sources)
        click.echo(f"Live sources: {', '.join(source.title for source in sources)}; store: {settings.store}")
        click.echo("Starting the web server and the daemon")
        run_servers(port)
        return
    settings = prepare_environment(home)
    if not (settings.store_folder / REPORT).is_file():
        click.echo(
            "There is no report yet. `make demo` makes everything; in the UI you can do it step by step."
        )
    click.echo("Starting the sources, the language model, the web server and the daemon")
    with services(settings):
        run_servers(port)


def run_servers(port: int) -> None:
    """The web server, the daemon and the code servers of the instance in DAGSTER_HOME, until Ctrl-C."""
    make_instance()
    # Web server and daemon share the code servers. Alone, a daemon starts new ones every minute, and the web
    # server never sees a new month.
    python = [sys.executable, "-W", "ignore", "-m"]
    quiet = ["--log-level", "error", "--code-server-log-level", "error"]
    address = ["--host", "127.0.0.1", "--port", str(port)]
    command = [*python, "dagster", "dev", "-w", str(ROOT / "workspace.yaml"), *quiet, *address]
    # Else the daemon fails a backfill while its code location does not load, as after a change with an error.
    environment = {"DAGSTER_BACKFILL_RETRY_DEFINITION_CHANGED_ERROR": "1", **os.environ}
    # In its own process group: Ctrl-C reaches it once, from here.
    with subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True) as servers:
        try:
            if not answers(servers, port):
                raise click.ClickException("the web server has ended; its last lines say why")
            page = f"http://127.0.0.1:{port}/asset-groups"
            click.echo(f"\n  The lineage graph: {page}\n  Ctrl-C stops everything.\n")
            servers.wait()
        except KeyboardInterrupt:
            click.echo("\nStopping")
        finally:
            servers.terminate()


def make_instance() -> None:
    """Makes the databases of the instance in DAGSTER_HOME. Two processes at once cannot make SQLite files."""
    with DagsterInstance.get() as instance:
        instance.get_runs(limit=1)
        instance.all_asset_keys()
        instance.all_instigator_state()


def answers(servers: subprocess.Popen[bytes], port: int) -> bool:
    """Waits until the web server accepts connections; False: the servers have ended."""
    while servers.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        time.sleep(0.2)
    return False


def prepare_environment(home: Path) -> Settings:
    """Sets the environment that the demo's processes share, and checks that the demo can run.

    Args:
        home: the folder of the demo's instance and store.

    Raises:
        ClickException: other sources are set, or the disk is full.
    """
    # Only the demo's own lines: those of a step belong to its run, where the web UI shows them.
    console = logging.StreamHandler(sys.stdout)
    console.setFormatter(logging.Formatter("  %(message)s"))
    log = logging.getLogger(wavcaps_assets.demo.__name__)
    log.addHandler(console)
    log.setLevel(logging.INFO)
    if of_live := sorted(name for name in read_dotenv() if name.startswith((PREFIX, "DAGSTER_HOME"))):
        raise click.ClickException(
            f"{ROOT / DOTENV} sets {', '.join(of_live)}, and Dagster's processes would read it for the demo "
            "too: move that file away, and export its variables for live sources"
        )
    if os.environ.get("WAVCAPS_SOURCES", Sources.EMBEDDED) != Sources.EMBEDDED:
        raise click.ClickException(
            "this terminal is set up for live sources: for the demo, open another, or unset WAVCAPS_SOURCES"
        )
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if unused := leave_out_live_settings():
        click.echo(f"The demo has its own sources and store, and does not use {', '.join(unused)}")
    folder = home.absolute()
    os.environ["DAGSTER_HOME"] = str(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(INSTANCE, folder / INSTANCE.name)
    except OSError as error:
        raise click.ClickException(
            f"cannot write to {folder}: {error.strerror}; choose another folder: wavcaps demo --home FOLDER"
        ) from error
    settings = Settings()
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise click.ClickException(
            f"{folder} has {free / 1e9:.1f} GB free and the demo needs {NEEDED_BYTES / 1e9:.1f} GB; "
            "free some space, or choose a folder on another disk: wavcaps demo --home FOLDER"
        )
    return settings


def leave_out_live_settings() -> list[str]:
    """Removes from this process's environment what belongs to live sources. Returns the names."""
    groups = [f"{PREFIX}{name}" for name in OF_LIVE_SOURCES]
    groups += [variable.name.rpartition(JOINT)[0] for variable in of_sources()]
    unused = sorted(name for name in os.environ if name.upper().startswith(tuple(groups)))
    for name in unused:
        del os.environ[name]
    return unused


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


def require_free_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise click.ClickException(f"port {port} is in use; choose another: make ui PORT=3001") from error
