"""Ports that live inside one server process."""
