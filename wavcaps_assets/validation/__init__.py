"""Human validation (section III.D): people listen to clips, rate captions and compare two of them."""
