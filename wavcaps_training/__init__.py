"""Models trained on the manifest, and their scores."""
