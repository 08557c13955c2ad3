"""Checkpoints: weights as safetensors, what describes them, and the files that others released."""
