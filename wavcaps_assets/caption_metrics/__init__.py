"""Captioning metrics that need neither Java nor a model: BLEU, ROUGE-L, METEOR, CIDEr-D."""
