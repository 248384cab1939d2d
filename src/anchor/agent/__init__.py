"""The program on other people's machines: it takes attempts, runs them confined, and never loses an answer."""
