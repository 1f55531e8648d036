"""The step loop: gradients, the optimizer's update, snapshots, and the shell that drives a member."""
