"""The models that the studies train: classifiers of images, bags and sequences."""
