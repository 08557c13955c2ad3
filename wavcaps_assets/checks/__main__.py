"""Caption quality in one command: `python -m wavcaps_assets.checks MANIFEST`."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import click

from wavcaps_assets.checks.figures import Status
from wavcaps_assets.checks.manifests_in import UnusableManifest, read_manifest
from wavcaps_assets.checks.quality import check_quality, worst
from wavcaps_assets.checks.quality_settings import UnusableSettings, load_settings
from wavcaps_assets.checks.told import CONTROL, REPLACED, as_json, as_junit, as_markdown, as_text

FAILED, UNUSABLE = 1, 2
PATH = click.Path(path_type=Path)


def _give_up(said: str, error: Exception) -> NoReturn:
    click.echo(CONTROL.sub(REPLACED, said).encode("utf-8", "backslashreplace"), err=True)
    raise SystemExit(UNUSABLE) from error


@click.command()
@click.argument("manifest", type=PATH)
@click.option("--settings", type=PATH, help="TOML file of thresholds; see docs/quality.md.")
@click.option("--against", type=PATH, help="The manifest before this one: how far it drifted.")
@click.option(
    "--dropped", type=PATH, help="Table, or folder of tables, of the clips dropped by stages 2 and 3."
)
@click.option("--junit", type=PATH, help="Write JUnit XML to this file.")
@click.option("--summary", type=PATH, help="Append a Markdown summary to this file, as $GITHUB_STEP_SUMMARY.")
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON in place of the table.")
def main(
    manifest: Path,
    settings: Path | None,
    against: Path | None,
    dropped: Path | None,
    junit: Path | None,
    summary: Path | None,
    json_wanted: bool,
) -> None:
    """Check the captions of MANIFEST: Parquet or WavCaps JSON, a file or a folder.

    Ends with 0 where no check failed (warnings allowed), 1 where one did, 2 where the input
    is unusable, or a file cannot be written.
    """
    try:
        thresholds = load_settings(settings)
        before = None if against is None else read_manifest(against).table
        results = check_quality(read_manifest(manifest, dropped), thresholds, before)
    except (UnusableManifest, UnusableSettings, OSError) as error:
        _give_up(str(error), error)
    told = as_json(results) if json_wanted else as_text(results)
    # Before the files: what took minutes is not lost where one of them cannot be written.
    click.echo(told.encode("utf-8"), nl=False)
    try:
        if junit is not None:
            junit.write_bytes(as_junit(results))
        if summary is not None:
            with summary.open("a", encoding="utf-8") as page:
                page.write(as_markdown(results, manifest.name))
    except OSError as error:
        _give_up(f"{error.filename} cannot be written: {error.strerror}", error)
    raise SystemExit(FAILED if worst(results) is Status.FAILED else 0)


if __name__ == "__main__":
    main(prog_name="python -m wavcaps_assets.checks")
