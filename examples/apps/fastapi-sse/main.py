"""A clock that ticks in the browser: server-sent events, one at a time."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from fastapi import FastAPI, Query
from fastapi.responses import HTMLResponse, StreamingResponse

app = FastAPI(title="Ticks")

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Ticks</title>
<h1>Ticks</h1>
<p id="now">…</p>
<script>
  const events = new EventSource('events?count=1000&seconds=1')
  events.onmessage = event => document.getElementById('now').textContent = JSON.parse(event.data).at
</script></html>"""


@app.get("/", response_class=HTMLResponse)
async def page() -> str:
    return PAGE


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/events")
async def events(count: int = Query(10, ge=1, le=1000), seconds: float = Query(1.0, ge=0, le=60)) -> StreamingResponse:
    return StreamingResponse(ticks(count, seconds), media_type="text/event-stream")


async def ticks(count: int, seconds: float) -> AsyncIterator[str]:
    for number in range(count):
        event = {"number": number, "at": datetime.now(UTC).isoformat()}
        yield f"id: {number}\ndata: {json.dumps(event)}\n\n"
        await asyncio.sleep(seconds)
