"""PyTorch training over several devices, a process each."""
