"""Where a caption comes from: everything that the store contains about one clip."""
