"""What the work costs, here and elsewhere: ``scripts/bench``."""
