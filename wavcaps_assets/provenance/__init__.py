"""Where a caption comes from: everything that the store knows about one clip."""
