"""Ciphertext blocks on local disk: the evictable cache and the staging area that is never evicted."""
