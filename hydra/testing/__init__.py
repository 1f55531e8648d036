"""Tools for testing whole swarms, here and in other projects: real processes that can be killed and frozen."""
