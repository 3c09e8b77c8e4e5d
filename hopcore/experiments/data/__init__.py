"""The data sets of the studies: images, bags of instances, sequences, memories in files."""
