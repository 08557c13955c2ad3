"""The command `wavcaps provenance`."""

from __future__ import annotations

import click

from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.provenance.lookup import SeveralClips, clip_id_of
from wavcaps_assets.provenance.trace import UnknownClip, trace
from wavcaps_assets.settings import Settings
from wavcaps_assets.store.storage import StoreError, open_store
from wavcaps_assets.tables.asset_tables import TableStore


@click.command()
@click.argument("clip")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def provenance(clip: str, as_json: bool) -> None:
    """Print everything that the store knows about one clip, from the raw record to the published caption.

    CLIP is the clip's id in every table, such as soundbible-2215, the address of its page or its audio, or
    the name of its file. The store is the one that WAVCAPS_STORE names.
    """
    settings = Settings()
    try:
        store = open_store(settings.store, settings.s3.endpoint_url or None, settings.s3.region or None)
        with ResponseLedger(store, ANSWERS) as ledger:
            tables = TableStore(store)
            try:
                found = trace(tables, ledger, clip)
            except UnknownClip:
                known = clip_id_of(tables, clip)
                if known is None:
                    raise
                found = trace(tables, ledger, known)
    except (UnknownClip, SeveralClips, StoreError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{found.as_json()}\n" if as_json else found.as_text(), nl=False)
