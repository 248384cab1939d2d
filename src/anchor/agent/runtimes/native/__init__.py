"""Real interpreters and programs, with the packages they need."""
