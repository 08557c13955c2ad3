"""The scores of generated captions, as the field reports them (Tables VI and X)."""
