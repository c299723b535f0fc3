"""Smaller ONNX files: half precision and 8 bits, with what they lose measured on data."""
