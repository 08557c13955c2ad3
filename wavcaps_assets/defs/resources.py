"""What assets get: the store, the network and the language model."""

import dagster as dg

from wavcaps_assets.audio.originals import Origin
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.network.client import Network
from wavcaps_assets.settings import Settings
from wavcaps_assets.store.storage import open_store
from wavcaps_assets.tables.asset_tables import TableStore


class StoreResource(dg.ConfigurableResource):
    """The folder or the bucket of all tables, audio, answers and checkpoints.

    boto3 finds the credentials of a bucket; they are not part of this.
    """

    root: str
    endpoint_url: str = ""
    region: str = ""

    def tables(self) -> TableStore:
        return TableStore(open_store(self.root, self.endpoint_url or None, self.region or None))


class NetworkResource(dg.ConfigurableResource):
    """Access to the network, within the limits of `NetworkSettings`."""

    def client(self) -> Network:
        settings = Settings()
        return Network(settings.state, settings.network)

    def origin(self, client: Network) -> Origin:
        """Where the audio of clips comes from, through this client."""
        return Origin(client, Settings().state / "partial")


class LanguageModelResource(dg.ConfigurableResource):
    """The language model that writes captions. Its key is read when a request is made, and never shown."""

    base_url: str
    model: str
    embedded: bool

    def settings(self) -> ModelSettings:
        llm = Settings().llm
        # A budget requires a price of every model that is not declared free.
        free = True if self.embedded and llm.free is None else llm.free
        return llm.model_copy(update={"base_url": self.base_url, "model": self.model, "free": free})
