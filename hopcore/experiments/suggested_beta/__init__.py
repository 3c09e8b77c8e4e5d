"""Retrieval at suggested inverse temperatures, against the best of a grid."""
