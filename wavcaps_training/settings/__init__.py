"""How a model is built and trained: typed settings that are stored with its weights."""
