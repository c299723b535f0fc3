"""Weights that other projects saved, read without running code and matched to a net."""
