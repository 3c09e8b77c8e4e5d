"""Small measurements of what papers on modern Hopfield networks report, beside their figures."""
