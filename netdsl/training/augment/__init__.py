"""Augmentation of batches on the device, with draws for each sample."""
