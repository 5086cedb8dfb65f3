"""The training module: a CSV of texts in, artifacts out."""
