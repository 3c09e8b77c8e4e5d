"""Images to store and to retrieve: scikit-learn's digits, MNIST's files, corrupted copies."""

from hopcore.datasets._images import Images, choose, corrupt, split_images, split_three
from hopcore.datasets._sources import digits, load, mnist

__all__ = [
    "Images",
    "choose",
    "corrupt",
    "digits",
    "load",
    "mnist",
    "split_images",
    "split_three",
]
