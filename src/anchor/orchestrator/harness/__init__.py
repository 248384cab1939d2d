"""What stands behind a user's map and reduce in their task: our source text, one file per language."""
