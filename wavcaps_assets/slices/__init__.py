"""Slices of the set: the clips that may be used for a purpose, by licence and by the author's wish."""
