"""The JAX wing: models, steps and evaluation; does not know of power."""
