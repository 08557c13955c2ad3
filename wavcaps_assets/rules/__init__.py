"""What a caption must be: rules on one caption, the repairs that are tried first, and the verdict."""
