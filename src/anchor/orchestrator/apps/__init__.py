"""Apps: what to do next about what is wanted, and what nodes say of it."""
