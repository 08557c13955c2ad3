"""Checkpoints: weights as safetensors with their description, and files that others released."""
