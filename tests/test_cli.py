"""The command `wavcaps` finds its subcommands in the entry points of whatever is installed."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import click
import pytest
from click.testing import CliRunner

from wavcaps_assets import cli

RUNNER = CliRunner()


@click.command()
@click.argument("name")
def hello(name: str) -> None:
    """Greet NAME."""
    click.echo(f"Hello {name}")


def install(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    points = [EntryPoint(name, value, cli.GROUP) for name, value in values.items()]
    monkeypatch.setattr(cli, "entry_points", lambda group: points if group == cli.GROUP else [])


def test_another_packages_subcommand_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, hello=f"{__name__}:hello")
    assert "Greet NAME." in RUNNER.invoke(cli.main, ["--help"]).output
    assert RUNNER.invoke(cli.main, ["hello", "clip"]).output == "Hello clip\n"


def test_a_subcommand_that_cannot_be_imported_says_why_and_spares_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, broken="no_such_package.module:command", hello=f"{__name__}:hello")
    assert "Greet NAME." in RUNNER.invoke(cli.main, ["--help"]).output
    result = RUNNER.invoke(cli.main, ["broken", "--some", "option"])
    assert result.exit_code == 1
    assert "No module named 'no_such_package'" in result.output


def test_an_unknown_subcommand_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    result = RUNNER.invoke(cli.main, ["chekc"])
    assert result.exit_code == 2 and "No such command 'chekc'" in result.output


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("WAVCAPS_SOURCES", "liv", "WAVCAPS_SOURCES: Input should be 'embedded' or 'live'"),
        ("WAVCAPS_LLM__TIMEOUT_S", "soon", "WAVCAPS_LLM__TIMEOUT_S: Input should be a valid number"),
        ("WAVCAPS_NETWORK__QUOTAS", "{secret", "network"),
    ],
)
def test_a_setting_that_cannot_be_read_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(variable, value)
    result = RUNNER.invoke(cli.main, ["sources"])
    assert result.exit_code == 1
    assert problem in result.output and "Traceback" not in result.output
    assert "secret" not in result.output
