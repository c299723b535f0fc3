"""From a syntax tree to a program of typed definitions."""
