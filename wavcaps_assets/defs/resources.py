"""What the assets are given: the store, the network, the language model."""

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from wavcaps_assets.captioning.chat import ChatModel
    from wavcaps_assets.network import Network
    from wavcaps_assets.sources.base import Source
    from wavcaps_assets.table_store import TableStore


class StoreResource(dg.ConfigurableResource):
    """The folder of all tables, audio, answers and checkpoints."""

    root: str

    def tables(self) -> "TableStore":
        from wavcaps_assets.storage import Store
        from wavcaps_assets.table_store import TableStore

        return TableStore(Store(self.root))


class NetworkResource(dg.ConfigurableResource):
    """The way to the network; each source may ask its own hosts only."""

    contact: str = ""

    def client(self, source: "Source") -> "Network":
        return self.client_for(source.hosts)

    def client_for(self, hosts: frozenset[str]) -> "Network":
        from wavcaps_assets.network import Network, NetworkSettings

        return Network(hosts, NetworkSettings(contact=self.contact))


class LanguageModelResource(dg.ConfigurableResource):
    """The language model that writes captions. Its key is read when it is asked, and never shown."""

    base_url: str
    model: str
    embedded: bool

    def chat(self) -> "ChatModel":
        from wavcaps_assets.captioning.chat import ChatModel
        from wavcaps_assets.settings import Settings

        llm = Settings().llm
        return ChatModel(llm.model_copy(update={"base_url": self.base_url, "model": self.model}))
