"""Fixes: edits that mend a mistake. Each is tried on the text before it is offered."""
