"""The studio's bucket as a small interface, one file for each engine and each decorator."""
