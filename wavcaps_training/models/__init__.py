"""The encoders and the models that are made of them."""
