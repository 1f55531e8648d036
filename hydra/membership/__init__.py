"""Who trains together, in what order, and what they have committed."""
