"""How alike two sets of captions are, by the measures of the captioning field, without Java or a model."""
