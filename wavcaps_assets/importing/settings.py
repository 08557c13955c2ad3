"""What is imported, as the launchpad and the command say it."""

from __future__ import annotations

from pydantic import BaseModel, Field


class ImportSettings(BaseModel):
    """A set to import."""

    path: str = Field("", description="folder of the set, or one list, on the machine that runs this")
    audio: str = Field("", description="folder of the audio; empty: that of the set")
    source: str = Field(
        "", description="source of clips whose rows and files do not name one, such as `laion`; empty: theirs"
    )
    rename: dict[str, str] = Field(
        {}, description="other names for sources, such as `freesound: released_freesound`"
    )
    replace: bool = Field(False, description="take the place of sources imported from another folder")
