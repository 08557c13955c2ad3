"""Stage 2: a language model turns each clip's raw text into a caption (section III.B)."""
