"""Experiments: cells become runs in warm worker processes, runs become tables, tests and figures."""
