"""Exports of a published version, in the formats of other tools. A new format is one file in `formats/`."""
