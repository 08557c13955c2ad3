"""The categories of FreeSound's sounds: the Broad Sound Taxonomy, version 1.1.

The API gives the names, the data packs give the keys, such as `fx-a`
(https://github.com/MTG/freesound/blob/master/_docs/bst_description_v1.1_250725.csv).
"""

from __future__ import annotations

TOP_LEVEL = {
    "m": "Music",
    "is": "Instrument samples",
    "sp": "Speech",
    "fx": "Sound effects",
    "ss": "Soundscapes",
}
SECOND_LEVEL = {
    "m-sp": "Solo percussion",
    "m-si": "Solo instrument",
    "m-m": "Multiple instruments",
    "is-p": "Percussion",
    "is-s": "String",
    "is-w": "Wind",
    "is-k": "Piano / Keyboard instruments",
    "is-e": "Synths / Electronic",
    "sp-s": "Solo speech",
    "sp-c": "Conversation / Crowd",
    "sp-p": "Processed / Synthetic",
    "fx-o": "Objects / House appliances",
    "fx-v": "Vehicles",
    "fx-m": "Other mechanisms, engines, machines",
    "fx-h": "Human sounds and actions",
    "fx-a": "Animals",
    "fx-n": "Natural elements and explosions",
    "fx-ex": "Experimental",
    "fx-el": "Electronic / Design",
    "ss-n": "Nature",
    "ss-i": "Indoors",
    "ss-u": "Urban",
    "ss-s": "Synthetic / Artificial",
    **{f"{top}-other": "Other" for top in TOP_LEVEL},
}


def category_names(key: str) -> tuple[str | None, str | None]:
    """Names of the category and the subcategory with a key; None where the taxonomy has no such key."""
    top, _, second = key.strip().lower().partition("-")
    return TOP_LEVEL.get(top), SECOND_LEVEL.get(f"{top}-{second}")
