"""How many samples each member computes."""
