"""Apps of a few lines with nothing to install, for tests of what happens around them."""

SERVER = """
import json, os, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version, wbufsize, disable_nagle_algorithm = 'HTTP/1.1', -1, True

    def do_GET(self):
        content = self.content().encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def content(self):
        return 'here'

    def log_message(self, *_):
        pass

class Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128

def serve(port=int(os.environ['PORT'])):
    Server(('', port), Handler).serve_forever()
"""
MAIN = "main.py"


def _app(text: str) -> dict[str, str]:
    return {MAIN: SERVER + text}


ANSWERING = _app(
    """
def content(self):
    told = {'release': os.environ['ANCHOR_RELEASE'], 'replica': os.environ['ANCHOR_REPLICA'], 'path': self.path}
    return json.dumps(told, separators=(',', ':'))

Handler.content = content
serve()
"""
)
"""Says which replica of which release answers."""

SILENT = _app("print('thinking', flush=True)\ntime.sleep(1000)")
"""Never listens."""

ELSEWHERE = _app("serve(3333)")
"""Listens on a port of its own choice, not on that in PORT."""

CRASHING = _app("raise SystemExit('the cupboard is bare')")

FLOODING = _app(
    """
def pour():
    while True:
        sys.stdout.write(('x' * 1000 + '\\n') * 100)

threading.Thread(target=pour, daemon=True).start()
serve()
"""
)
"""Prints as fast as it can."""

MANY = _app(
    """
counts = {'started': 0, 'refused': 0}

def start():
    for _ in range(1500):
        try:
            subprocess.Popen(['sleep', '1000'])
            counts['started'] += 1
        except OSError:
            counts['refused'] += 1

Handler.content = lambda self: json.dumps(counts)
threading.Thread(target=start, daemon=True).start()
serve()
"""
)
"""Starts 1,500 processes, or as many as it is let."""

HUNGRY = _app(
    """
def eat():
    eaten = []
    while True:
        eaten.append(b'x' * (8 << 20))
        time.sleep(0.005)

threading.Thread(target=eat, daemon=True).start()
serve()
"""
)
"""Eats more than a gigabyte of memory a second until it is stopped."""

CURIOUS = _app(
    """
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

def knock(at):
    host, port = at.split('@')
    try:
        socket.create_connection((host, int(port)), timeout=1.5).close()
    except OSError as error:
        return f'{host} {port}: {error}'
    return f'{host} {port}: reached'

def content(self):
    url = urlsplit(self.path)
    if url.path != '/knock':
        return json.dumps({'url': self.path, 'host': self.headers['host']}, separators=(',', ':'))
    with ThreadPoolExecutor(16) as threads:
        return json.dumps(list(threads.map(knock, parse_qs(url.query)['at'])))

Handler.content = content
serve()
"""
)
"""Says what it was asked, and tries to reach what `/knock?at=HOST@PORT` names."""

FAILING_BUILD = "echo one two && echo 'no such thing' >&2 && exit 3"
