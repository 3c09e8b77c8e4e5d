"""Plain and diffused retrieval on the same queries: trials, the studies, reports."""
