"""The server program: REST for people and programs, the link for agents, and the loops that keep work moving."""
