"""Training of heads by recipe, and cross-fitting: predictions by heads without that image."""
