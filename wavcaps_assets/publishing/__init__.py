"""What leaves the pipeline: the manifest, and its split by recording."""
