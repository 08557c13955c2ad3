"""The state of the sources tonight, as a table and in sentences for people."""
