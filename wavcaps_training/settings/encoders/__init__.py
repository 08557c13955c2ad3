"""The audio encoders, a file each. A new encoder is a new file here, and one of `models/` with its network.

A file ends with `SETTINGS`, the class of its settings.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated, Any, Union

from pydantic import Discriminator, GetCoreSchemaHandler, Tag
from pydantic_core import CoreSchema

from wavcaps_training.settings.encoder import EncoderSettings


def encoders() -> dict[str, type[EncoderSettings]]:
    """The settings class of each encoder, by the encoder's name."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    classes: list[type[EncoderSettings]] = [module.SETTINGS for module in modules]
    return {settings.model_fields["encoder"].default: settings for settings in classes}


def encoder_of(settings: Any) -> str:
    """The audio encoder of settings; HTSAT if they do not name one, as in the oldest checkpoints."""
    if isinstance(settings, dict):
        return str(settings.get("encoder", "htsat"))
    return str(getattr(settings, "encoder", "htsat"))


class OneOfTheEncoders:
    """Reads settings as those of the encoder that they name, and refuses other names."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        tagged = [Annotated[settings, Tag(name)] for name, settings in encoders().items()]
        return handler.generate_schema(Annotated[Union[tuple(tagged)], Discriminator(encoder_of)])  # noqa: UP007


# A field of this type has the settings of any encoder.
AnyEncoder = Annotated[EncoderSettings, OneOfTheEncoders()]
