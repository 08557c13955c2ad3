"""How well a trained model does, one task a module."""
