"""Work that is not committed: its order, what it touches, and what becomes of it in a lost race."""
