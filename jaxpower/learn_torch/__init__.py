"""Training in PyTorch: the same work as `jaxpower.learn`, in another house."""
