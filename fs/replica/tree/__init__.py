"""The tree in its tables: questions, operations, and the rules that every entry keeps."""
