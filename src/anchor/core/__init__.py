"""What we decide: pure values and functions; nothing here waits, reads a clock, rolls dice or does I/O."""
