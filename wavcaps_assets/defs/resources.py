"""What assets get: the store, the network and the language model."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from wavcaps_assets.audio.originals import Origin
from wavcaps_assets.demo.language_model import available_model, own_model
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.network.client import Network
from wavcaps_assets.settings import Settings, Sources
from wavcaps_assets.store.restoring import require_whole
from wavcaps_assets.store.storage import open_store
from wavcaps_assets.tables.asset_tables import TableStore


class StoreResource(dg.ConfigurableResource):
    """The folder or the bucket of all tables, audio, answers and checkpoints.

    boto3 finds the credentials of a bucket; they are not part of this.
    """

    root: str
    endpoint_url: str = ""
    region: str = ""

    def tables(self, waits: bool = True) -> TableStore:
        """The tables.

        Args:
            waits: whether requests wait for a bucket that does not answer. A step waits; the daemon and a
                person want to hear of it at once.

        Raises:
            StoreError: the store cannot be used, or is being restored.
        """
        store = open_store(self.root, self.endpoint_url or None, self.region or None, waits)
        require_whole(store)
        return TableStore(store)


def store_of(settings: Settings) -> StoreResource:
    """The store that the settings name."""
    return StoreResource(
        root=settings.store, endpoint_url=settings.s3.endpoint_url, region=settings.s3.region
    )


class NetworkResource(dg.ConfigurableResource):
    """Access to the network, within the limits of `NetworkSettings`."""

    def client(self) -> Network:
        settings = Settings()
        return Network(settings.state, settings.network, store_of(settings).tables().store)

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

    @contextmanager
    def serving(self, needed: bool = True) -> Iterator[ModelSettings]:
        """The model's settings, while it can be asked. The embedded one is started where it does not run.

        With live sources, each run starts its own: one that runs already belongs to a demo or to another run,
        and ends with it.

        Args:
            needed: whether it is going to be asked.

        Raises:
            LanguageModelError: the embedded model is not installed, or does not start.
        """
        settings = self.settings()
        if not (needed and self.embedded):
            yield settings
            return
        whole = Settings()
        of_demo = whole.sources is Sources.EMBEDDED
        with available_model(whole.embedded_model_port) if of_demo else own_model() as url:
            yield settings.model_copy(update={"base_url": url})
