"""The web process: the standard library's server on $PORT."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Greeter(BaseHTTPRequestHandler):
    """Greets whoever asks."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """A line of text, whatever the path."""
        text = f"{os.environ.get('GREETING', 'Hello')} from release {os.environ.get('ANCHOR_RELEASE', '?')}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


class Server(ThreadingHTTPServer):
    """With room for many who knock at once."""

    request_queue_size = 128


Server(("", int(os.environ.get("PORT", "8080"))), Greeter).serve_forever()
