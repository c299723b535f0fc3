"""The versions of the package and of the language."""

__version__ = "0.3.0"

LANGUAGE = 3
"""The version of the language, written into run directories and ONNX files; `docs/language.md` lists the changes."""
