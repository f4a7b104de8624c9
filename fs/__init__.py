"""The plaintext plane: FUSE, metadata and cryptography. Opens no socket but the daemon's."""
