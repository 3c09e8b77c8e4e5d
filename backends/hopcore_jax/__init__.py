"""hopcore for jax."""
