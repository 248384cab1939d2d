"""The worker: does something every few seconds, without a port. Whatever it prints is in the app's log."""

import time

from humanize import precisedelta

started = time.monotonic()
while True:
    print(f"At work for {precisedelta(time.monotonic() - started)}.", flush=True)
    time.sleep(2)
