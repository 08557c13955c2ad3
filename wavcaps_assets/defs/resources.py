"""What the assets are given: the store, the network, the language model."""

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from wavcaps_assets.audio.originals import Origin
    from wavcaps_assets.llm.settings import ModelSettings
    from wavcaps_assets.network.client import Network
    from wavcaps_assets.tables.asset_tables import TableStore


class StoreResource(dg.ConfigurableResource):
    """The folder, or the bucket, of all tables, audio, answers and checkpoints.

    Credentials for a bucket come from where boto3 looks for them, and are no part of this.
    """

    root: str
    endpoint_url: str = ""
    region: str = ""

    def tables(self) -> "TableStore":
        from wavcaps_assets.store.storage import open_store
        from wavcaps_assets.tables.asset_tables import TableStore

        return TableStore(open_store(self.root, self.endpoint_url or None, self.region or None))


class NetworkResource(dg.ConfigurableResource):
    """The way to the network, with its limits; as patient as `NetworkSettings` says."""

    def client(self) -> "Network":
        from wavcaps_assets.network.client import Network
        from wavcaps_assets.settings import Settings

        settings = Settings()
        return Network(settings.state, settings.network)

    def origin(self, client: "Network") -> "Origin":
        """Where clips' audio comes from, by way of this client."""
        from wavcaps_assets.audio.originals import Origin
        from wavcaps_assets.settings import Settings

        return Origin(client, Settings().state / "partial")


class LanguageModelResource(dg.ConfigurableResource):
    """The language model that writes captions. Its key is read when it is asked, and never shown."""

    base_url: str
    model: str
    embedded: bool

    def settings(self) -> "ModelSettings":
        from wavcaps_assets.settings import Settings

        llm = Settings().llm
        # A budget wants a price of every model that somebody has not said to be free.
        free = True if self.embedded and llm.free is None else llm.free
        return llm.model_copy(update={"base_url": self.base_url, "model": self.model, "free": free})
