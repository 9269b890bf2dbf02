"""dj-stripe's tables in one migration (2 s instead of a minute), for tests and the demo only."""
