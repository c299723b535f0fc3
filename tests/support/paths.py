"""Folders of the checkout that tests read."""

from pathlib import Path

TESTS = Path(__file__).parent.parent
ROOT = TESTS.parent
SPECS = ROOT / "specs"
DATA = TESTS / "data"
