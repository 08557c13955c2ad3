"""A draft of the public summary of training content that the EU AI Act requires (Article 53(1)(d))."""
