"""One module for each source: the part of its protocol that a crawler needs, for the demo's corpus."""
