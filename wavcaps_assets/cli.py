"""The command `wavcaps`. Its subcommands are the entry points of the group `wavcaps.commands`.

Any installed package can add one: the name of the entry point is the subcommand, its value a click command.
"""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click
from click.exceptions import Exit
from pydantic import ValidationError
from pydantic_settings import SettingsError

from wavcaps_assets.environment import (
    JOINT,
    PREFIX,
    UnknownVariable,
    read_dotenv,
    require_known_variables,
)
from wavcaps_assets.masking import masked
from wavcaps_assets.settings import Settings

GROUP = "wavcaps.commands"


class Subcommands(click.Group):
    """The commands of the entry points, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_entry_points())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry_point = _entry_points().get(cmd_name)
        return None if entry_point is None else _load(entry_point)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command. A database that does not answer is one sentence, as other errors are."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, Exit):
            raise
        except Exception as error:
            said = _said_by_database(error)
            if said is None:
                raise
            raise click.ClickException(
                f"the database of Dagster's instance does not answer: {masked(said)}. See `storage` in "
                "`dagster.yaml` of the folder DAGSTER_HOME"
            ) from error


def _said_by_database(error: BaseException | None) -> str | None:
    """The message of the database behind an error; None: it is of something else."""
    while error is not None:
        # Dagster's classes differ by its storage; sqlalchemy's is behind all of them.
        if type(error).__module__ == "sqlalchemy.exc" and type(error).__name__ == "OperationalError":
            return str(getattr(error, "orig", error)).strip().partition("\n")[0]
        error = error.__cause__ or error.__context__
    return None


def _entry_points() -> dict[str, EntryPoint]:
    return {entry_point.name: entry_point for entry_point in entry_points(group=GROUP)}


def _load(entry_point: EntryPoint) -> click.Command:
    """The command; one that cannot be imported does not take `wavcaps --help` down with it.

    Raises:
        TypeError: the entry point names something else than a click command.
    """
    try:
        command = entry_point.load()
    except ImportError as error:
        return _broken(entry_point, error)
    if not isinstance(command, click.Command):
        raise TypeError(f"{entry_point.value}, of the entry point {entry_point.name}, is not a click command")
    return command


def _broken(entry_point: EntryPoint, error: ImportError) -> click.Command:
    problem = f"{entry_point.value} cannot be imported: {error}"

    @click.command(entry_point.name, help=problem, context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1)
    def broken(arguments: tuple[str, ...]) -> None:
        raise click.ClickException(f"{problem}. Is everything installed that it needs?")

    return broken


@click.group(
    cls=Subcommands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings are environment variables: see wavcaps_assets/settings.py. For completion of commands "
    'and options in bash: eval "$(_WAVCAPS_COMPLETE=bash_source wavcaps)"; zsh and fish likewise.',
)
@click.version_option(package_name="wavcaps-on-dagster", prog_name="wavcaps")
def main() -> None:
    """WavCaps as a Dagster lineage graph: run the demo, check captions, trace a clip, rate captions."""
    # As Dagster does in each of its own processes: otherwise the web UI would have other settings.
    os.environ.update(read_dotenv())
    try:
        require_known_variables()
        Settings()
    except ValidationError as error:
        wrong = (
            f"{PREFIX}{JOINT.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in error.errors()
        )
        raise click.ClickException("\n".join(wrong)) from error
    except (UnknownVariable, SettingsError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
