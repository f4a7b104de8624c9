"""The log of members as this node knows it: read, verified, kept whole."""
