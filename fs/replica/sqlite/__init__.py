"""The replica's file: an encrypted SQLite database, its tables, and what a power cut leaves of it."""
