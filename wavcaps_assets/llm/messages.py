"""A message in a conversation with a model."""

from __future__ import annotations

from typing import TypedDict


class Message(TypedDict):
    """One message of OpenAI's chat completions. `role` is `system`, `user` or `assistant`."""

    role: str
    content: str
