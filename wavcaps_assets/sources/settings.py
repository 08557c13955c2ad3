"""How a source gets its settings: its file declares them, and they are read from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, create_model, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from wavcaps_assets.masking import register_secret
from wavcaps_assets.network.links import without_credentials

# A folder of the user's; an empty variable is the same as none.
FolderPath = Annotated[Path | None, BeforeValidator(lambda value: value or None)]


class Environment(BaseSettings):
    """The environment variables of one source. The source's settings are its only field."""

    model_config = SettingsConfigDict(
        env_prefix="WAVCAPS_", env_nested_delimiter="__", extra="ignore", hide_input_in_errors=True
    )


class SourceSettings(BaseModel):
    """The settings of one source. Every field has a default.

    Attributes:
        key: the source's name in environment variables: the field `token` of `freesound` is
            `WAVCAPS_FREESOUND__TOKEN`.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    key: ClassVar[str]

    @field_validator("*", mode="after")
    @classmethod
    def _without_credentials(cls, value: object) -> object:
        return without_credentials(value) if isinstance(value, str) else value

    @classmethod
    def read(cls, demo_url: str | None) -> Self:
        """Reads the environment, and completes what it leaves empty.

        Args:
            demo_url: root of the demo's server; None: the real sites are crawled.

        Raises:
            ValidationError: a variable has a value that its field does not allow.
        """
        fields: dict[str, Any] = {cls.key: (cls, cls())}
        environment = create_model("Settings", __base__=Environment, **fields)()
        read: Self = getattr(environment, cls.key)
        defaults = read.defaults(demo_url)
        for name in cls.model_fields:
            if isinstance(value := getattr(read, name), SecretStr):
                register_secret(value.get_secret_value())
        return read.model_copy(
            update={name: value for name, value in defaults.items() if not getattr(read, name)}
        )

    def defaults(self, demo_url: str | None) -> Mapping[str, object]:
        """The values of fields that are left empty: those of the demo, or those of the real site."""
        return {}
