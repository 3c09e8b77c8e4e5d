"""The results of a run, the explanation of failures, and which check verifies which statement."""
