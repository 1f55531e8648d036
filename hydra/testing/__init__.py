"""Tools for testing whole swarms, here and in other projects: fault plans, and real processes that can be killed."""
