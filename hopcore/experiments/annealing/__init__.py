"""Image classifiers trained at annealed temperatures: trials, gradients, arms, reports."""
