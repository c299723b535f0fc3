"""Optimizers, gradient clipping and weight averages."""
