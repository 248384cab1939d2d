"""The ways an agent can run code, one file each, all behind the interface in `anchor.agent.job`."""
