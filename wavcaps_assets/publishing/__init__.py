"""The published set: the manifests, and the split by recording."""
