"""Losses and the criterion over a net's outputs."""
