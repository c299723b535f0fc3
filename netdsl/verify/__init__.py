"""Comparison of onnxruntime with torch."""
