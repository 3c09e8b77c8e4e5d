"""Transformers that learn their temperatures from different initial profiles."""
