"""The README's figures of the demo, from the demo's store.

`python -m wavcaps_assets.demo.readme README.md` writes them again, after `make demo`.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from wavcaps_assets.captioning.floor.template import MODEL_NAME as TEMPLATE
from wavcaps_assets.demo.command import HOME
from wavcaps_assets.lane.outcome import SET_KEY, scored
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

BEGIN, END = "<!-- figures of the demo -->", "<!-- end of the figures -->"


def as_markdown(tables: TableStore) -> str:
    """One paragraph: the records that were found, the clips that were published, and the scores.

    Args:
        tables: the tables of a store in which the whole demo ran.
    """
    sources = tables.sources_of(SET_KEY)
    records = sum(tables.read([source, "raw_clips"], columns=["clip_id"]).num_rows for source in sources)
    captions = Counter(tables.read(SET_KEY, columns=["model"])["model"].to_pylist())
    by_template = captions.pop(TEMPLATE, 0)
    scores = "\n".join(f"- {line}" for line in scored(tables))
    return (
        f"- {records:,} records, of which {by_template + captions.total():,} are published with a caption\n"
        f"- {by_template:,} captions by the template for AudioSet's labels, "
        f"{captions.total():,} by the language model\n{scores}"
    )


def replaced(page: str, figures: str) -> str:
    """A page with other figures."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{figures}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    readme = Path(sys.argv[1])
    new = as_markdown(TableStore(Store(str(HOME / "store"))))
    readme.write_text(replaced(readme.read_text(encoding="utf-8"), new), encoding="utf-8")
