"""What a server says once it listens."""

from anchor.cli.options import admin_token
from anchor.cli.talk import say
from anchor.client import AsyncClient
from anchor.client.address import is_loopback
from anchor.config import Settings


async def greet(settings: Settings, url: str) -> None:
    """Say where the server is and, where others can reach it, how they get in."""
    say(f"Anchor is up: {url}", style="bold green")
    say(f"That is the dashboard, for a browser; the API is at {url}/api/docs.")
    say(f"Everything is kept in {settings.data}", style="dim")
    if is_loopback(f"http://{settings.host}"):
        say("Only this machine can reach it, and needs no token. Stop it with Ctrl-C.", style="dim")
        return
    say(f"Sign in with the admin token, which is in {settings.admin_token_file}; programs send it as ANCHOR_TOKEN.")
    async with AsyncClient(url, token_if_asked=admin_token(settings)) as client:
        ticket = await client.join_token()
    say("The next machine joins with this line, which works once and for 15 minutes:")
    say(f"  {ticket.command}")
    say("`anchor node token` prints another. Traffic is plain HTTP: put TLS in front of it on networks you share.")
