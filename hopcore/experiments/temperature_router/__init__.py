"""A transformer that sends symbols to a hot or a cold layer by the entropy of their attention."""
