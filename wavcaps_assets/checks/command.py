"""The command that checks the captions of a manifest, for CI: `wavcaps check`."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import click

from wavcaps_assets.checks.figures import Status
from wavcaps_assets.checks.manifest_files import read_manifest
from wavcaps_assets.checks.manifest_formats import UnusableManifest
from wavcaps_assets.checks.quality import check_quality, worst
from wavcaps_assets.checks.quality_settings import UnusableSettings, load_settings
from wavcaps_assets.checks.render import CONTROL, REPLACED, as_json, as_junit, as_markdown, as_text

FAILED, UNUSABLE = 1, 2
PATH = click.Path(path_type=Path)


def _give_up(problem: str, error: Exception) -> NoReturn:
    click.echo(CONTROL.sub(REPLACED, problem).encode("utf-8", "backslashreplace"), err=True)
    raise SystemExit(UNUSABLE) from error


@click.command()
@click.argument("manifest", type=PATH)
@click.option("--settings", type=PATH, help="TOML file of thresholds to override; see docs/quality.md.")
@click.option("--against", type=PATH, help="The previous manifest. Measures the drift from it.")
@click.option(
    "--dropped",
    type=PATH,
    help="Table of the clips that stages 2 and 3 dropped, or a folder of such tables. Measures their share.",
)
@click.option("--junit", type=PATH, help="Write JUnit XML to this file.")
@click.option(
    "--summary", type=PATH, help="Append a Markdown summary to this file, such as $GITHUB_STEP_SUMMARY."
)
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON instead of the table.")
def check(
    manifest: Path,
    settings: Path | None,
    against: Path | None,
    dropped: Path | None,
    junit: Path | None,
    summary: Path | None,
    json_wanted: bool,
) -> None:
    """Check the captions of MANIFEST, a file or a folder.

    MANIFEST is Parquet, JSON, JSON Lines or CSV (text also as .gz), with the columns clip_id or id, and
    caption, or caption_1 to caption_5; source and text if known. JSON can be the released WavCaps.

    \b
    Exit status:
      0  no check failed (there may be warnings)
      1  a check failed
      2  the input cannot be read, or a file cannot be written

    \b
    Examples:
      wavcaps check manifest.parquet
      wavcaps check json_files/ --settings thresholds.toml --junit captions.xml
      wavcaps check new.parquet --against old.parquet --summary "$GITHUB_STEP_SUMMARY"
    """
    try:
        thresholds = load_settings(settings)
        before = None if against is None else read_manifest(against).table
        results = check_quality(read_manifest(manifest, dropped), thresholds, before)
    except (UnusableManifest, UnusableSettings, OSError) as error:
        _give_up(str(error), error)
    report = as_json(results) if json_wanted else as_text(results)
    # Printed before the files are written: a file that cannot be written must not cost minutes of work.
    click.echo(report.encode("utf-8"), nl=False)
    try:
        if junit is not None:
            junit.write_bytes(as_junit(results))
        if summary is not None:
            with summary.open("a", encoding="utf-8") as page:
                page.write(as_markdown(results, manifest.name))
    except OSError as error:
        _give_up(f"{error.filename} cannot be written: {error.strerror}", error)
    raise SystemExit(FAILED if worst(results) is Status.FAILED else 0)
