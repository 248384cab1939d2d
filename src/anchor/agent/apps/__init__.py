"""Apps on this machine: what is built, run, watched and reached."""
