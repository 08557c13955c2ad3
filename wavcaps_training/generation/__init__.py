"""Sound from texts: the latents that a model learns from, and the sounds that it makes."""
