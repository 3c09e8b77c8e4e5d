"""Long random runs: ``nox -s soak``. Calls with hostile arguments, killed writers, fresh examples."""
