"""From `write` to an acknowledgement: what is unsaved, how it is cut into blocks, when it is saved."""
