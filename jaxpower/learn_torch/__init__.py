"""The PyTorch wing: the JAX wing's trials again; does not know of power."""
