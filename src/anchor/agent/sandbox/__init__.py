"""Confinement: what this machine can enforce on a task's processes, and the certain end of every one of them."""
