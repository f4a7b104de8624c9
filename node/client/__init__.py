"""The daemon's socket seen from outside: the one part of the node that other planes may import."""
