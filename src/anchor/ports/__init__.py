"""What we need of the world, as small protocols; adapters fulfil them, the simulator too."""
