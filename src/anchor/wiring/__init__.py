"""The one place that picks adapters and ties everything together. A program brings in only the part that it runs."""
