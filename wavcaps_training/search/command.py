"""`wavcaps search`: in the terminal, or as a page for the browser on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from wavcaps_assets.settings import Settings
from wavcaps_assets.store.storage import Store, StoreError, open_store
from wavcaps_assets.tables.asset_tables import TableStore

if TYPE_CHECKING:
    from wavcaps_training.search.index import SearchIndex

PORT = 8733
MOST_RESULTS = 100


@click.command()
@click.argument("query", nargs=-1)
@click.option(
    "-k",
    "results",
    default=10,
    show_default=True,
    type=click.IntRange(1, MOST_RESULTS),
    help="Number of results.",
)
@click.option(
    "--like", help="A clip_id or a sound file, in place of a text: shows the captions that fit best."
)
@click.option(
    "--checkpoint",
    help="Whose index is searched, such as aisfx_minilm/demo.  [default: that of the report]",
)
@click.option("--page", is_flag=True, help="Serve a page on this machine, to listen and to rate the results.")
@click.option("--port", default=PORT, show_default=True, help="Port of the page; 0: any free one.")
def search(
    query: tuple[str, ...], results: int, like: str | None, checkpoint: str | None, page: bool, port: int
) -> None:
    """Search the published clips by a text, or captions by a sound.

    \b
    wavcaps search dog barking
    wavcaps search --like soundbible-2215
    wavcaps search --like my.wav
    wavcaps search --page

    The index is the asset search_index/<model>/<experiment>. The store is the one that WAVCAPS_STORE names.
    """
    asked = [bool(query), like is not None, page]
    if sum(asked) != 1:
        raise click.UsageError("give a text, or --like, or --page")
    settings = Settings()
    # torch takes seconds to import.
    from wavcaps_training.checkpoints.checkpoint import CheckpointError
    from wavcaps_training.evaluation.encoder import QueryError
    from wavcaps_training.search.index import NoIndex, StaleIndex
    from wavcaps_training.search.opening import open_index

    try:
        store = open_store(settings.store, settings.s3.endpoint_url or None, settings.s3.region or None)
        index = open_index(TableStore(store), settings, checkpoint)
        for note in index.freshness.notes(index.asset):
            click.echo(f"Note: {note}", err=True)
        if page:
            _serve(index, store, port)
        elif like is not None:
            click.echo(_captions_like(index, like, results))
        else:
            from wavcaps_training.search.listing import listed_clips

            click.echo(listed_clips(index.by_text(" ".join(query), results), store))
    except (NoIndex, StaleIndex, QueryError, CheckpointError, StoreError) as error:
        raise click.ClickException(f"{error} (store: {settings.store})") from error


def _captions_like(index: SearchIndex, like: str, results: int) -> str:
    from wavcaps_training.evaluation.encoder import QueryError
    from wavcaps_training.search.listing import listed_captions
    from wavcaps_training.search.sounds import read_sound

    path = Path(like)
    try:
        hits = index.captions_of_clip(like, results)
    except QueryError as error:
        if not path.is_file():
            raise QueryError(f"{error}; and there is no file of this name") from error
        try:
            hits = index.captions_of_sound(read_sound(path, index.encoder).vector, results)
        except OSError as unreadable:
            raise QueryError(f"{path} cannot be read: {unreadable}") from unreadable
    return listed_captions(hits)


def _serve(index: SearchIndex, store: Store, port: int) -> None:
    from wavcaps_training.search.page.server import serve

    try:
        serve(
            index, store, port, lambda address: click.echo(f"The search page: {address}   Ctrl-C stops it.")
        )
    except OSError as error:
        raise click.ClickException(
            f"port {port} cannot be used ({error}): choose another by --port"
        ) from error
