"""How many patterns memories return from corrupted copies, by measurement and by theorems."""
