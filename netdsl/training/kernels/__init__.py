"""Faster forms of the same computation on a CPU."""
