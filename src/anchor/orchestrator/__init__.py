"""What happens to tasks and nodes, one file per step; it awaits ports only, so a simulator can drive all of it."""
