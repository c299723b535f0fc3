"""Facts of a program: counts, memory, receptive field, residual branches, stages."""
