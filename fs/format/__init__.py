"""Format 1: blocks and journal entries, byte by byte, and the keys they are sealed with."""
