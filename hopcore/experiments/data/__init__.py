"""The data sets of the studies: bags of instances, sequences, memories in files."""
