"""Measured work on real data: one retrieval job, the demonstration, the retrieval experiment."""
