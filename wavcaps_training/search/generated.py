"""The generated sounds of the store, found by the texts that they were made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.evaluation.encoder import Encoder
from wavcaps_training.paper.experiments import EXPERIMENTS
from wavcaps_training.tables import GENERATED_SOUNDS_FOLDER


@dataclass(frozen=True)
class MadeSound:
    """A generated sound that fits a query.

    Attributes:
        similarity: of its text and the query (cosine).
        sound: its row of `tables.GENERATED_SOUNDS`.
    """

    similarity: float
    sound: dict[str, Any]


class GeneratedSounds:
    """The generated sounds of all models, as they were when this was opened.

    Args:
        tables: the store's tables.
        encoder: reads their texts.

    Raises:
        StoreError: a table cannot be read.
    """

    def __init__(self, tables: TableStore, encoder: Encoder) -> None:
        keys = [(GENERATED_SOUNDS_FOLDER, *one.key[1:]) for one in EXPERIMENTS if one.parts is not None]
        rows = [
            row for key in keys if tables.exists(key, WHOLE) for row in tables.read(key, [WHOLE]).to_pylist()
        ]
        self._rows = {row["sound_id"]: row for row in rows}
        self._vectors = encoder.captions([row["text"] for row in self._rows.values()])
        self._encoder = encoder

    def of_id(self, sound_id: str) -> dict[str, Any] | None:
        """The row of a sound; None: there is none."""
        return self._rows.get(sound_id)

    def by_text(self, text: str, k: int) -> list[MadeSound]:
        """The sounds whose texts are most similar to a text, the best first.

        Raises:
            QueryError: the text is empty or too long.
        """
        if not self._rows:
            return []
        similarities = self._vectors @ self._encoder.query(text)
        rows = [*self._rows.values()]
        best = np.argsort(-similarities, kind="stable")[:k].tolist()
        return [MadeSound(float(similarities[place]), rows[place]) for place in best]
