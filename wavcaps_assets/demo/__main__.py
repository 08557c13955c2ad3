"""`python -m wavcaps_assets.demo run` is `wavcaps demo`, and `... ui` is `wavcaps ui`."""

from __future__ import annotations

import click

from wavcaps_assets.demo.command import demo, ui


@click.group()
def main() -> None:
    """The pipeline, end to end, on real audio."""


main.add_command(demo, "run")
main.add_command(ui)

if __name__ == "__main__":
    main()
