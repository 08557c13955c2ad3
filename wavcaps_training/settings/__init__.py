"""How a model is built and trained, as typed settings that travel with its weights."""
