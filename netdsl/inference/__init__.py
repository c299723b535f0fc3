"""A trained net run in onnxruntime, without torch: what goes in, and what comes out."""
