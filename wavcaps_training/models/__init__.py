"""The encoders, and the models that consist of them."""
