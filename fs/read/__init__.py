"""From `read` to bytes: layers, decrypted segments, block files, and what comes ahead."""
