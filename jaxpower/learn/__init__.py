"""The JAX wing: trains and evaluates networks; knows nothing of power.

The rooms of `jaxpower.learn_torch` have the same names:

  wing        its face, of the shape of `jaxpower.wings.Wing`
  placement   a trial's data, on its devices or to be streamed
  feed        how examples of a streamed set reach the devices
  spec        all of a trial that its programs depend on
  programs    what a spec compiles to
  state       what updates change, and its first weights
  segment     the updates between two evaluations
  step        one update
  evaluation  accuracy and loss over a test set
  checkpoint  states on disk
  devices     those of a trial, and how arrays lie on them
  distributed a trial over several processes, one device each
"""
