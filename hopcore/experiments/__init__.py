"""Studies with real data, their data sets and their models; only the command line uses them."""
