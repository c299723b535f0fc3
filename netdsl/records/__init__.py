"""Finished and unfinished runs beside each other: a table of them, and comparisons."""
