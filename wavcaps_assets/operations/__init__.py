"""Commands for the person who runs it every night."""
