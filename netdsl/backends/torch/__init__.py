"""A program as PyTorch source, and that source as a live module."""
