"""What a run shows: progress, HTML page, TensorBoard."""
