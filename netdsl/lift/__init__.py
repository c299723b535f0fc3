"""Lifting: an ONNX model, or a PyTorch module, becomes a spec that a person would commit, with its weights."""
