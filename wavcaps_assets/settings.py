"""Where things are: the store, the sources, the language model.

Every setting is an environment variable that starts with `WAVCAPS_`; nested ones are joined by
two underscores, as in `WAVCAPS_LLM__MODEL`. These settings differ from machine to machine. How a stage
treats its clips is set on its asset, in Dagster's launchpad; each source has its own settings in its file.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from wavcaps_assets.alerts.settings import AlertSettings
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.network.links import without_credentials
from wavcaps_assets.network.settings import KNOWN_QUOTAS, UNLIMITED, NetworkSettings


class Sources(StrEnum):
    EMBEDDED = "embedded"
    LIVE = "live"


# As the language model's base URL: the small model that comes with the demo.
EMBEDDED = "embedded"
EMBEDDED_SOURCES_PORT = 8731
EMBEDDED_MODEL_PORT = 8732


class ExtraCopy(StrEnum):
    """What is kept next to the 32 kHz FLAC. The names are those of the run configuration."""

    none = "none"
    original = "original"
    flac_44100 = "flac_44100"
    flac_48000 = "flac_48000"

    @property
    def folder(self) -> str:
        """The folder in the store, which has the same structure as `audio`."""
        return f"audio_{self.value}"


EXTRA_COPY = (
    "what is also kept of each clip: `original` (the downloaded file, in `audio_original/`), or `flac_44100` "
    "or `flac_48000` (16-bit FLAC at 44.1 or 48 kHz with the original's channels, in `audio_flac_44100/` or "
    "`audio_flac_48000/`); `none`: nothing. Clips that are stored without it are fetched again, once"
)


class S3Settings(BaseModel):
    """The server of a store in a bucket. boto3 finds the credentials, for example by `AWS_PROFILE`."""

    endpoint_url: str = Field("", description="root of the S3 server; empty: Amazon's")
    region: str = Field("", description="the bucket's region; empty: that of AWS's own settings")


def embedded_url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


class Settings(BaseSettings):
    """All settings. `Settings()` reads the environment."""

    model_config = SettingsConfigDict(
        env_prefix="WAVCAPS_", env_nested_delimiter="__", extra="ignore", hide_input_in_errors=True
    )

    sources: Sources = Field(
        Sources.EMBEDDED,
        description="`embedded`: the demo's server and model on this machine; `live`: the real sites",
    )
    source_names: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="names of the sources that take part, separated by commas, such as "
        "`local_folder,soundbible`; empty: those that are configured (`wavcaps sources` lists them)",
    )
    store: str = Field(
        default_factory=lambda: str(_home() / "store"),
        min_length=1,
        description="folder, or `s3://bucket/prefix`, of all tables, audio, answers and checkpoints",
    )
    state: Path = Field(
        default_factory=lambda: _home() / "state",
        description="folder on this machine for what is not data: request quotas, tokens, partial downloads",
    )
    prompts: str = Field("", description="folder of your own prompt presets, TOML files; empty: none")
    prompt: str = Field(
        "",
        description="name of the prompt of stage 2 in runs that choose no prompt, preset or method, such as "
        "those that sensors request; empty: the preset's",
    )
    other_captions: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="kinds of further captions that each clip gets, separated by commas, such as "
        "`tags,query` (docs/captioning.md); those that a model writes cost money; empty: none",
    )
    quality: str = Field(
        "", description="TOML file of thresholds of caption quality (docs/quality.md); empty: the defaults"
    )
    smallest_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="a table is not replaced by one with less than this share of its rows, unless the run "
        "has the tag `wavcaps/allow_fewer_rows`",
    )
    automation_interval_h: float = Field(
        24,
        gt=0,
        description="where the sensors `process_<source>` and `publish_new_version` are on: at most one run "
        "of each in this number of hours",
    )
    extra_copy: ExtraCopy = Field(ExtraCopy.none, description=EXTRA_COPY)
    s3: S3Settings = S3Settings()
    embedded_sources_port: int = Field(EMBEDDED_SOURCES_PORT, description="port of the demo's sources")
    embedded_model_port: int = Field(EMBEDDED_MODEL_PORT, description="port of the embedded language model")
    recordings_url: str = Field(
        "",
        description="csv (path or URL) of `clip_id,recording`: clips that share one; empty: by `sources`",
    )
    corpus_note: str = Field("", description="a sentence for the report that names the corpus")
    contact: str = Field("", description="an address for site owners, sent in the User-Agent")
    network: NetworkSettings = NetworkSettings()
    llm: ModelSettings = ModelSettings()
    alerts: AlertSettings = AlertSettings()

    @field_validator("source_names", "other_captions", mode="before")
    @classmethod
    def _separated_by_commas(cls, value: object) -> object:
        return (
            [name for part in value.split(",") if (name := part.strip())] if isinstance(value, str) else value
        )

    @field_validator("recordings_url")
    @classmethod
    def _without_credentials(cls, url: str) -> str:
        return without_credentials(url)

    @model_validator(mode="after")
    def fill_defaults(self) -> Settings:
        demo = self.demo_url
        embedded = demo is not None

        asked_for = self.llm.base_url or (EMBEDDED if embedded else "https://api.openai.com/v1")
        url = self.embedded_model_url if asked_for == EMBEDDED else asked_for
        small = embedded or asked_for == EMBEDDED
        model = self.llm.model or ("smollm2-135m-instruct" if small else "gpt-4o-mini")
        self.llm = self.llm.model_copy(update={"base_url": url, "model": model})
        own = {demo.partition("://")[2]} if demo else set()
        self.network = self.network.model_copy(
            update={
                "contact": self.network.contact or self.contact,
                "private_hosts": self.network.private_hosts | own,
                "quotas": {**KNOWN_QUOTAS, **dict.fromkeys(own, UNLIMITED), **self.network.quotas},
            }
        )
        self.recordings_url = self.recordings_url or (f"{demo}/recordings.csv" if embedded else "")
        return self

    @property
    def store_folder(self) -> Path:
        """The store's folder.

        Raises:
            ValueError: the store is a bucket.
        """
        if "://" in self.store:
            raise ValueError("this needs a folder on this machine, and WAVCAPS_STORE names something else")
        return Path(self.store)

    @property
    def demo_url(self) -> str | None:
        """Root of the demo's server; None where the real sites are crawled."""
        return embedded_url(self.embedded_sources_port) if self.sources is Sources.EMBEDDED else None

    @property
    def embedded_model_url(self) -> str:
        return f"{embedded_url(self.embedded_model_port)}/v1"

    @property
    def embedded_model(self) -> bool:
        """Whether the small language model on this machine writes the captions."""
        return self.llm.base_url == self.embedded_model_url


def _home() -> Path:
    return Path(os.environ.get("DAGSTER_HOME", "dagster_home"))
