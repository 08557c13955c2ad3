"""Search in the published clips with a checkpoint: by a text, by a clip or by a sound."""
