"""What a good table and a good caption are, as functions on tables."""
