"""A sound as FreeSound's API describes it (https://freesound.org/docs/api/resources_apiv2.html)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

MAX_INT32 = 2**31 - 1
MAX_INT64 = 2**63 - 1
MAX_NAME_CHARS = 200
# FreeSound wants AI-made sounds to have this tag: `GenAI`, in any case.
AI_TAG = "genai"


def _or_none(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        # An empty text says nothing.
        return read(value) or None if isinstance(value, str) else read(value)
    except ValidationError:
        return None


OptionalText = Annotated[Annotated[str, Field(max_length=MAX_NAME_CHARS)] | None, WrapValidator(_or_none)]
OptionalFlag = Annotated[bool | None, WrapValidator(_or_none)]


class Sound(BaseModel):
    """A sound in an answer of the API. A field of another type means that the protocol has changed.

    The optional fields are not worth a sound: a value that cannot be read is null.
    """

    model_config = ConfigDict(strict=True)

    id: int = Field(ge=1, le=MAX_INT64)
    name: str | None = None
    description: str | None = None
    tags: list[str] | None = None
    username: str | None = None
    license: str | None = None
    duration: float | None = Field(None, ge=0, allow_inf_nan=False, description="s")
    samplerate: float | None = Field(None, ge=0, le=MAX_INT32, description="Hz")
    channels: int | None = Field(None, ge=0, le=MAX_INT32)
    created: str | None = Field(
        None, pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?$"
    )
    previews: dict[str, str] | None = None
    url: str | None = None
    type: str | None = None
    filesize: int | None = Field(None, ge=0, le=MAX_INT64, description="bytes")
    md5: str | None = Field(None, pattern=r"^[0-9a-f]{32}$")
    gen_ai_preference: OptionalText = None
    category: OptionalText = None
    subcategory: OptionalText = None
    category_is_user_provided: OptionalFlag = None
    is_explicit: OptionalFlag = None
    is_remix: OptionalFlag = None


FIELDS = ",".join(Sound.model_fields)
OPTIONAL_FIELDS = (
    *("gen_ai_preference", "category", "subcategory"),
    *("category_is_user_provided", "is_explicit", "is_remix"),
)


def unreadable_fields(sound: Mapping[str, Any], read: Sound) -> list[str]:
    """The optional fields of a sound that have a value which cannot be read."""
    return [
        name for name in OPTIONAL_FIELDS if sound.get(name) not in (None, "") and getattr(read, name) is None
    ]


def is_ai_made(tags: Iterable[str] | None) -> bool | None:
    """Whether the tags of a sound say that it is AI-made; None if there are no tags to read."""
    return None if tags is None else any(tag.strip().lower() == AI_TAG for tag in tags)
