"""The PyTorch wing: the same training as `jaxpower.learn`; knows no JAX.

The rooms of `jaxpower.learn` have the same names and roles here. What is here
alone: `distributed`, a process for each further device, and `flax_weights`,
by which weights come from Flax and go back.
"""
