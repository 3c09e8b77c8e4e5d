"""hopcore for torch."""
