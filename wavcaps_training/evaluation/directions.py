"""The directions of retrieval, and their names for people."""

from __future__ import annotations

DIRECTIONS = {"text_to_audio": "text to audio", "audio_to_text": "audio to text"}
