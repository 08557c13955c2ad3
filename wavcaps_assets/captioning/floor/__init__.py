"""Captions without a model: by rules for texts, by a template for labelled sound events."""
