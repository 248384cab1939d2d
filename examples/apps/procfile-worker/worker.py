"""The worker: does something every few seconds, without a port. Whatever it prints is in the app's log."""

import time

import schedule


def tick() -> None:
    print(f"It is {time.strftime('%H:%M:%S')}.", flush=True)


tick()
schedule.every(2).seconds.do(tick)
while True:
    schedule.run_pending()
    time.sleep(0.2)
