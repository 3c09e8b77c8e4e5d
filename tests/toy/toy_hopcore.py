"""hopcore's backend for toy arrays."""

import toy
from scipy.linalg import expm

from hopcore import Backend


class ToyBackend(Backend):
    """Toy arrays, with a softmax of their own."""

    def __init__(self):
        super().__init__("toy", toy)

    @property
    def expected_failures(self):
        hubs = "test_diffusion.py::test_hubs_are_refused_or_normalised"
        return {hubs: "a toy holds 2.5 million numbers at most"}

    def separate(self, scores, separation):
        if not separation.softmax:
            return super().separate(scores, separation)
        top = toy.max(scores, axis=-1, keepdims=True)
        empty = top == -toy.inf
        top = toy.where(empty, 0.0, top)
        terms = toy.exp(scores - top)
        total = toy.sum(terms, axis=-1, keepdims=True)
        weights = terms / toy.where(empty, 1.0, total)
        return weights, (top + toy.log(total))[..., 0]

    def heat_kernel(self, matrix):
        return toy.asarray(expm(-self.to_numpy(matrix)))
