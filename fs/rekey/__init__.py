"""Blocks that were sealed in an earlier epoch are sealed anew, for those who are still there."""
