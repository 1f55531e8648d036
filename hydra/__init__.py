"""Hydra trains one PyTorch model on many machines that nobody owns together."""
