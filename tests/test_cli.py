"""The command `wavcaps` finds its subcommands in the entry points of whatever is installed."""

from __future__ import annotations

import socket
from importlib.metadata import EntryPoint

import click
import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from wavcaps_assets import cli

RUNNER = CliRunner()


@click.command()
@click.argument("name")
def hello(name: str) -> None:
    """Greet NAME."""
    click.echo(f"Hello {name}")


@click.command()
@click.argument("url")
def connect(url: str) -> None:
    """As Dagster does when it opens an instance."""
    try:
        create_engine(url).connect()
    except OperationalError as error:
        raise RuntimeError("too many retries") from error


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


def test_a_database_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, connect=f"{__name__}:connect")
    with socket.socket() as taken:
        # Bound, and not listening.
        taken.bind(("127.0.0.1", 0))
        url = f"postgresql://me:secret@127.0.0.1:{taken.getsockname()[1]}/runs"
        result = RUNNER.invoke(cli.main, ["connect", url])
    assert result.exit_code == 1
    assert "does not answer: connection to server" in result.output and "`dagster.yaml`" in result.output
    assert "secret" not in result.output
    other = RUNNER.invoke(cli.main, ["connect", "no address"])
    assert other.exception is not None and "does not answer" not in other.output


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
