"""The report of a run: one self-contained page, made from the tables of the store."""
