"""Models trained on the manifest, and their scores."""

# Importing the package registers the schemas of its tables.
from wavcaps_training import tables as tables
