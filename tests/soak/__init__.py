"""Long random runs, ``nox -s soak``: hostile arguments, killed writers, fresh examples."""
