"""What it costs in joules to train a network to an accuracy."""
