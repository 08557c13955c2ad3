"""What a change of the data is worth: one model trained on two sets, and the difference of its scores."""
