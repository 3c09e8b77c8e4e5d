"""The formulas of the specification in plain NumPy, with which every backend is compared."""
