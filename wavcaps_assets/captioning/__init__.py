"""Stages 2 and 3: a language model turns each clip's raw text into a caption (section III.B)."""
