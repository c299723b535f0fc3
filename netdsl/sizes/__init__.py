"""Symbolic sizes and the constraints derived of them."""
