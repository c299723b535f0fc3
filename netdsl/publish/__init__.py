"""Trained nets as folders for others: weights, spec, ONNX file, configuration and card."""
