"""What a run found, how failures are explained, and which check proves which statement."""
