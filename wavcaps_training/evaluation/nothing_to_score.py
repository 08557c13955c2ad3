"""The error of an evaluation without anything to evaluate. It is here so that no torch is imported for it."""

from __future__ import annotations


class NothingToScore(ValueError):
    """There is nothing to score, or nothing to score it on."""
