"""A deterministic simulation of Anchor: the real orchestrator and core over simulated ports, driven from one seed."""
