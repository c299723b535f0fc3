"""Reports of a run: progress, HTML page, TensorBoard."""
