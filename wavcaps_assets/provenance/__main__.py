"""Prints everything that the store knows about one clip, from the raw record to what is published.

python -m wavcaps_assets.provenance CLIP_ID [--json]
"""

from __future__ import annotations

import argparse
import sys

from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.provenance.trace import UnknownClip, trace
from wavcaps_assets.settings import Settings
from wavcaps_assets.store.storage import StoreError, open_store
from wavcaps_assets.tables.asset_tables import TableStore


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clip_id", help="such as soundbible-2215")
    parser.add_argument("--json", action="store_true", help="as JSON instead of text")
    given = parser.parse_args(arguments)
    settings = Settings()
    store = open_store(settings.store, settings.s3.endpoint_url or None, settings.s3.region or None)
    with ResponseLedger(store, ANSWERS) as ledger:
        found = trace(TableStore(store), ledger, given.clip_id)
    sys.stdout.write(f"{found.as_json()}\n" if given.json else found.as_text())


if __name__ == "__main__":
    try:
        main()
    except (UnknownClip, StoreError) as error:
        sys.exit(str(error))
