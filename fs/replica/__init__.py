"""The project's metadata: a SQLite replica, the intents that change it, and their order."""
