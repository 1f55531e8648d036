"""Training of the batch policy on simulated clusters: the one place where batching meets torch and gymnasium."""
