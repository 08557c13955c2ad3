"""What the store holds, and which of its files nothing refers to any more."""
