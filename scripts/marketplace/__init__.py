"""The rendered benchmark, a marketplace with its ground truth."""
