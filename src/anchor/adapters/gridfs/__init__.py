"""Blobs in MongoDB, for servers that share one."""
