"""A message of a conversation with a model."""

from __future__ import annotations

from typing import TypedDict


class Message(TypedDict):
    """One message, as OpenAI's chat completions take it: `role` is `system`, `user` or `assistant`."""

    role: str
    content: str
