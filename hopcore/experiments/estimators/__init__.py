"""The estimators of ``hopcore.sklearn`` beside those of scikit-learn, on its own data sets."""
