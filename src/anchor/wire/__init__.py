"""What travels: the shapes of everything that crosses a process boundary."""
