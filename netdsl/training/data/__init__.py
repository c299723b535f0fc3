"""Data sets, batches and targets."""
