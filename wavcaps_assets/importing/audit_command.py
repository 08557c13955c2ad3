"""The command `wavcaps audit`: which clips of any set are in a benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import click
import pyarrow as pa
import pyarrow.csv

from wavcaps_assets.benchmark_sets.benchmarks import MODULES, benchmark_named
from wavcaps_assets.benchmark_sets.folders import FOLDER
from wavcaps_assets.benchmark_sets.lists import SetError
from wavcaps_assets.importing.audit import audit_set
from wavcaps_assets.importing.audit_audio import AudioComparison
from wavcaps_assets.importing.audit_report import as_junit, as_markdown, as_text
from wavcaps_assets.importing.importing import build_tables
from wavcaps_assets.importing.reading import UnusableSet, find_set
from wavcaps_assets.importing.summary import printable
from wavcaps_assets.settings import Settings
from wavcaps_assets.show.progress import progress_bar
from wavcaps_assets.store.storage import Store, StoreError, open_store

LEAKS, UNUSABLE = 1, 2
PATH = click.Path(path_type=Path)


def _give_up(problem: str, error: Exception) -> NoReturn:
    click.echo(printable(problem), err=True)
    raise SystemExit(UNUSABLE) from error


@click.command()
@click.argument("set_path", metavar="SET", type=PATH)
@click.option(
    "--against",
    "names",
    multiple=True,
    required=True,
    type=click.Choice(MODULES),
    help="A benchmark; can be repeated.",
)
@click.option(
    "--sets",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of the benchmarks' lists, laid out like sets/ in the store (docs/benchmarks.md).",
)
@click.option("--source", help="The source of clips whose rows and files do not name one, such as laion.")
@click.option("--audio", type=PATH, help="The folder of the set's audio, if it is another one.")
@click.option(
    "--evaluation-only", is_flag=True, help="Only the benchmarks' validation and test clips are leaks."
)
@click.option("--no-audio", is_flag=True, help="Do not compare the sound: an hour of audio takes seconds.")
@click.option("--markdown", type=PATH, help="Append a summary to this file, such as $GITHUB_STEP_SUMMARY.")
@click.option("--junit", type=PATH, help="Write JUnit XML to this file.")
@click.option("--csv", "csv_file", type=PATH, help="Write all evidence to this CSV file.")
def audit(
    set_path: Path,
    names: tuple[str, ...],
    sets: Path | None,
    source: str | None,
    audio: Path | None,
    evaluation_only: bool,
    no_audio: bool,
    markdown: Path | None,
    junit: Path | None,
    csv_file: Path | None,
) -> None:
    """Find the clips of SET that are in a benchmark.

    SET is whatever `wavcaps import` reads: the released WavCaps, WebDataset tars, Parquet of Hugging Face
    datasets, an export, or one list, with or without captions.

    \b
    Exit status:
      0  no clip of the set is in a benchmark, by what could be checked
      1  some are
      2  the set or the lists cannot be read, or a file cannot be written

    \b
    Examples:
      wavcaps audit /data/WavCaps --against clotho --against audiocaps
      wavcaps audit /data/laion --source laion --against esc50 --junit leaks.xml
    """
    try:
        files = find_set(set_path, audio, source)
        built = build_tables(files)
        with (
            _lists(sets) as store,
            TemporaryDirectory() as work,
            progress_bar("fingerprints", built.clips) as bar,
        ):
            clips = pa.concat_tables(built.tables.values())
            found = audit_set(
                built,
                set_path.name or str(set_path),
                [benchmark_named(name) for name in dict.fromkeys(names)],
                store,
                evaluation_only=evaluation_only,
                by_audio=None if no_audio else AudioComparison(files.root, clips, store, Path(work), bar),
            )
    except (UnusableSet, SetError, StoreError, OSError) as error:
        _give_up(str(error), error)
    # Printed before the files are written: a file that cannot be written must not cost minutes of work.
    click.echo(as_text(found).encode("utf-8", "backslashreplace"), nl=False)
    try:
        if markdown is not None:
            with markdown.open("a", encoding="utf-8") as page:
                page.write(as_markdown(found))
        if junit is not None:
            junit.write_bytes(as_junit(found))
        if csv_file is not None:
            pyarrow.csv.write_csv(found.overlaps, csv_file)
    except OSError as error:
        _give_up(f"a file cannot be written: {error}", error)
    raise SystemExit(LEAKS if found.leaks else 0)


@contextmanager
def _lists(sets: Path | None) -> Iterator[Store]:
    """The store with the benchmarks' lists: that of the settings, or one that only has a folder of lists."""
    if sets is None:
        settings = Settings()
        yield open_store(settings.store, settings.s3.endpoint_url or None, settings.s3.region or None)
        return
    with TemporaryDirectory() as folder:
        Path(folder, FOLDER).symlink_to(sets.resolve(), target_is_directory=True)
        store = Store(folder)
        try:
            yield store
        except SetError as error:
            # A person knows their own folder, and not this link to it.
            raise SetError(str(error).replace(store.describe(FOLDER), str(sets))) from error
