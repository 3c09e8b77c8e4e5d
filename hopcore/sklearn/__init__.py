"""Estimators of scikit-learn: imputation, classification, regression, retrieval, clustering.

All of them compare patterns by their Euclidean distance, choose their inverse temperature from the
training data unless one is given, and follow scikit-learn's conventions. The package needs
scikit-learn (extra ``sklearn``).
"""

try:
    import sklearn as _sklearn
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "hopcore.sklearn needs scikit-learn; install it: pip install 'hopcore[sklearn]'",
        name=missing.name,
    ) from None

from hopcore.sklearn._imputer import HopfieldImputer
from hopcore.sklearn._prediction import HopfieldClassifier, HopfieldRegressor
from hopcore.sklearn._retrieval import HopfieldClusterer, HopfieldRetriever

del _sklearn

__all__ = [
    "HopfieldClassifier",
    "HopfieldClusterer",
    "HopfieldImputer",
    "HopfieldRegressor",
    "HopfieldRetriever",
]
