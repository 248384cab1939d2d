"""What the runtimes cost: computing against the bare engines, starting, calling, killing, and being there idle."""
