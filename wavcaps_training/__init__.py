"""Models trained on the manifest, and their scores."""

# Whoever reads or writes a table of this package knows its schema.
from wavcaps_training import tables as tables
