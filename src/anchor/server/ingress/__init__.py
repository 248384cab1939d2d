"""The way from a browser to an app: by host name or path, through the tunnel of the node that runs it."""
