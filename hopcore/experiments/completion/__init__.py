"""Completing images of which half the patches are hidden: networks, memories and controls."""
