"""Which instances of a bag trained classifiers attend to."""
