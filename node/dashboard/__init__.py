"""The page a producer looks at, and the facts behind it."""
