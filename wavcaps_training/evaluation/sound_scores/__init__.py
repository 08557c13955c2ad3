"""The scores of generated sounds, as the field reports them (Table VIII)."""
