"""From a sweep to its trials: is each runnable, and in which order?"""
