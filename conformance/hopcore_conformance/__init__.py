"""The conformance suite of hopcore."""
