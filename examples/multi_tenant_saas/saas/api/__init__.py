"""The JSON API: one module for each kind of thing, and what its routes have in common."""
