"""The checks, one module for each subject of the specification, and how values are compared."""
