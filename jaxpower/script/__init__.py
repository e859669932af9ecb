"""A command as a trial: any training script under the protocol and the meter.

`attach` is what a script imports, and knows nothing of the rest.
"""
