"""The heads of a trained transformer of Hopfield layers beside those of two controls."""
