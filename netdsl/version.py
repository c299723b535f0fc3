"""The versions of the package and of the language."""

__version__ = "0.3.0"

LANGUAGE = 2
"""The version of the language, written into run folders and ONNX files (`docs/language.md` ends with what changed)."""
