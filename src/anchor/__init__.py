"""Anchor Network: ordinary computers pooled into one compute platform."""

__version__ = "0.1.0"
