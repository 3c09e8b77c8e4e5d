"""Multiple-instance learning: classifying bags with different Hopfield layers."""
