"""Where things are: the store, the sources, the language model.

Every setting is an environment variable that starts with `WAVCAPS_`; nested ones are joined by
two underscores, as in `WAVCAPS_FREESOUND__TOKEN`. What a stage does with its clips is set on its
asset, in Dagster's launchpad; here stands only what differs from machine to machine.
"""

from __future__ import annotations

import os
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.network.settings import KNOWN_QUOTAS, UNLIMITED, NetworkSettings


class Sources(StrEnum):
    EMBEDDED = "embedded"
    LIVE = "live"


EMBEDDED_SOURCES_PORT = 8731
EMBEDDED_MODEL_PORT = 8732


class FreesoundSettings(BaseModel):
    """FreeSound's API v2 (https://freesound.org/docs/api/)."""

    base_url: str = Field("", description="root of the site; empty: by `sources`")
    token: SecretStr = Field(
        SecretStr(""), description="API key (client secret), from https://freesound.org/apiv2/apply/"
    )
    client_id: str = Field("", description="client id beside that key; originals are downloaded with both")
    first_month: str = Field("", pattern=r"^(\d{4}-\d{2})?$", description="first month to crawl, YYYY-MM")
    last_month: str = Field(
        "", pattern=r"^(\d{4}-\d{2})?$", description="last month to crawl; empty: the last full month"
    )
    page_size: int = Field(150, ge=1, le=150, description="sounds a page; the API allows 150")
    most_pages: int = Field(
        1_000,
        ge=1,
        description="pages a month at most; a month has under a hundred, so that more are a fault",
    )
    audio: Literal["preview", "original"] = Field(
        "preview",
        description="what is downloaded; originals want an account's leave: "
        "python -m wavcaps_assets.sources.freesound_oauth",
    )
    preview: str = Field(
        "preview-hq-ogg",
        pattern=r"^preview-(hq|lq)-(ogg|mp3)$",
        description="which preview is downloaded",
    )


class BbcSettings(BaseModel):
    """The BBC Sound Effects search API."""

    api_url: str = Field("", description="root of the search API; empty: by `sources`")
    media_url: str = Field("", description="root of the audio files; empty: by `sources`")
    site_url: str = Field("", description="root of the site, for links to a sound; empty: by `sources`")
    page_size: int = Field(50, ge=1, le=500, description="sounds a page; the site itself asks for 50")
    result_window: int = Field(
        9_999,
        ge=1,
        description="results of one search that paging reaches; larger searches are sliced. A known "
        "client asks for 9,999, others report that less is reached",
    )


class SoundbibleSettings(BaseModel):
    """SoundBible's pages."""

    base_url: str = Field("", description="root of the site; empty: by `sources`")


class AudiosetSettings(BaseModel):
    """The AudioSet strong labels (https://research.google.com/audioset/download_strong.html)."""

    labels_url: str = Field("", description="folder of the label files; empty: by `sources`")
    clips_url: str = Field(
        "",
        description="folder (path or URL) of the ten-second clips, named such as `Y<id>.wav`; "
        "empty: by `sources`",
    )
    watch_url: str = Field("", description="page of a video, for links to a clip; empty: by `sources`")


class S3Settings(BaseModel):
    """The server of a store in a bucket. Credentials are those that boto3 finds, as in `AWS_PROFILE`."""

    endpoint_url: str = Field("", description="root of the S3 server; empty: Amazon's")
    region: str = Field("", description="the bucket's region; empty: as AWS's own settings say")


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
    store: str = Field(
        default_factory=lambda: str(_home() / "store"),
        min_length=1,
        description="folder, or `s3://bucket/prefix`, of all tables, audio, answers and checkpoints",
    )
    state: Path = Field(
        default_factory=lambda: _home() / "state",
        description="folder on this machine for what is no data: request quotas, tokens, "
        "half-downloaded files",
    )
    prompts: str = Field("", description="folder of prompt presets of one's own, TOML files; empty: none")
    quality: str = Field(
        "", description="TOML file of thresholds of caption quality (docs/quality.md); empty: the defaults"
    )
    s3: S3Settings = S3Settings()
    gpus_per_training: float = Field(
        1,
        gt=0,
        description="CUDA devices that each checkpoint is trained on: a whole number, or a share of one in "
        "twentieths, such as 0.5; read when the definitions are loaded",
    )
    gpu_step_retries: int = Field(
        3, ge=0, description="how often a step on a GPU is tried again when it dies; read as above"
    )
    embedded_sources_port: int = Field(EMBEDDED_SOURCES_PORT, description="port of the demo's sources")
    embedded_model_port: int = Field(EMBEDDED_MODEL_PORT, description="port of the demo's language model")
    recordings_url: str = Field(
        "",
        description="csv (path or URL) of `clip_id,recording`: clips that share one; empty: by `sources`",
    )
    corpus_note: str = Field("", description="a sentence for the report: which corpus this is")
    contact: str = Field("", description="an address for site owners, sent in the User-Agent")
    network: NetworkSettings = NetworkSettings()
    freesound: FreesoundSettings = FreesoundSettings()
    bbc: BbcSettings = BbcSettings()
    soundbible: SoundbibleSettings = SoundbibleSettings()
    audioset: AudiosetSettings = AudiosetSettings()
    llm: ModelSettings = ModelSettings()

    @field_validator("gpus_per_training")
    @classmethod
    def check_gpus(cls, value: float) -> float:
        parts = value if value > 1 else round(value * 20, 9)
        if parts != int(parts):
            raise ValueError("give a whole number of devices, or a share of one in twentieths, such as 0.5")
        return value

    @model_validator(mode="after")
    def fill_defaults(self) -> Settings:
        embedded = self.sources is Sources.EMBEDDED
        demo = embedded_url(self.embedded_sources_port)

        def either(value: str, when_embedded: str, when_live: str) -> str:
            return value or (when_embedded if embedded else when_live)

        self.freesound = self.freesound.model_copy(
            update={
                "base_url": either(self.freesound.base_url, f"{demo}/freesound", "https://freesound.org"),
                "token": self.freesound.token or SecretStr("demo" if embedded else ""),
                "first_month": either(self.freesound.first_month, "2022-09", "2005-04"),
                "last_month": either(self.freesound.last_month, "2022-11", last_full_month(date.today())),
            }
        )
        self.bbc = self.bbc.model_copy(
            update={
                "api_url": either(
                    self.bbc.api_url, f"{demo}/bbc", "https://sound-effects-api.bbcrewind.co.uk"
                ),
                "media_url": either(
                    self.bbc.media_url, f"{demo}/bbc-media", "https://sound-effects-media.bbcrewind.co.uk"
                ),
                "site_url": either(self.bbc.site_url, "", "https://sound-effects.bbcrewind.co.uk"),
            }
        )
        self.soundbible = self.soundbible.model_copy(
            update={
                "base_url": either(self.soundbible.base_url, f"{demo}/soundbible", "https://soundbible.com")
            }
        )
        self.audioset = self.audioset.model_copy(
            update={
                "labels_url": either(
                    self.audioset.labels_url,
                    f"{demo}/audioset/labels",
                    "https://storage.googleapis.com/audioset_strong",
                ),
                "clips_url": either(self.audioset.clips_url, f"{demo}/audioset/clips", ""),
                "watch_url": either(self.audioset.watch_url, "", "https://www.youtube.com/watch"),
            }
        )
        self.llm = self.llm.model_copy(
            update={
                "base_url": either(
                    self.llm.base_url,
                    f"{embedded_url(self.embedded_model_port)}/v1",
                    "https://api.openai.com/v1",
                ),
                "model": either(self.llm.model, "smollm2-135m-instruct", "gpt-4o-mini"),
            }
        )
        own = {demo.partition("://")[2]} if embedded else set()
        self.network = self.network.model_copy(
            update={
                "contact": self.network.contact or self.contact,
                "private_hosts": self.network.private_hosts | own,
                "quotas": {**KNOWN_QUOTAS, **dict.fromkeys(own, UNLIMITED), **self.network.quotas},
            }
        )
        self.recordings_url = either(self.recordings_url, f"{demo}/recordings.csv", "")
        return self

    @property
    def store_folder(self) -> Path:
        """The store's folder.

        Raises:
            ValueError: the store is a bucket.
        """
        if "://" in self.store:
            raise ValueError("this needs a folder of this machine, and WAVCAPS_STORE names something else")
        return Path(self.store)

    @property
    def embedded_model_url(self) -> str:
        return f"{embedded_url(self.embedded_model_port)}/v1"


def _home() -> Path:
    return Path(os.environ.get("DAGSTER_HOME", "dagster_home"))


def last_full_month(today: date) -> str:
    """The month before today's, as YYYY-MM."""
    year, month = (today.year, today.month - 1) if today.month > 1 else (today.year - 1, 12)
    return f"{year:04d}-{month:02d}"
