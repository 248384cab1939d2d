"""CPython compiled to WebAssembly: real Python semantics in a sandbox."""
