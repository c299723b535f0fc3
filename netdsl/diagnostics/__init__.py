"""Diagnostics: mistakes in a spec as values, and the table of their codes."""
