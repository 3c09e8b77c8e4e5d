"""What every backend is compared with: the formulas of the specification in plain NumPy."""
