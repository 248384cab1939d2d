"""What we use: one folder per technology, strangers to each other."""
