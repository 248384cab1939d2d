"""JavaScript in a V8 isolate of its own."""
