"""The ciphertext plane: cache, peers and bucket. Nothing in here can decrypt a block or a name."""
