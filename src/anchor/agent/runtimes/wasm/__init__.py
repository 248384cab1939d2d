"""WebAssembly by wasmtime."""
