"""The resources of both code locations, and the executor of this one."""

from typing import Any

import dagster as dg

from wavcaps_assets.defs.common import Location
from wavcaps_assets.defs.resources import LanguageModelResource, NetworkResource, store_of
from wavcaps_assets.defs.table_io_manager import TableIOManager
from wavcaps_assets.settings import Settings


def resources(settings: Settings) -> dict[str, Any]:
    """The resources, by the names of the assets' arguments."""
    store = store_of(settings)
    return {
        "io_manager": TableIOManager(store=store, smallest_share=settings.smallest_share),
        "store": store,
        "network": NetworkResource(),
        "language_model": LanguageModelResource(
            base_url=settings.llm.base_url,
            model=settings.llm.model,
            embedded=settings.embedded_model,
        ),
    }


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(
        resources=resources(location.settings),
        # Each step is concurrent inside. A process for each step would need seconds for imports.
        executor=dg.in_process_executor,
    )
