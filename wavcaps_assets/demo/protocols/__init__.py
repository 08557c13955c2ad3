"""One module a source: the part of its protocol that a crawler needs, spoken over the demo's corpus."""
