"""Repeat parts of the results pages and compare their figures: ``nox -s results``."""
