"""What a run found: its record, how failures are explained, and which check proves which statement."""
