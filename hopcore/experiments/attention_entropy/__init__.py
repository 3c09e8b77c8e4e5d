"""The entropy and the energy of the heads of a small language model while it trains."""
