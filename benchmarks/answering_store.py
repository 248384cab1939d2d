"""A relay before a MongoDB that says of every new task that it was written, and writes none: what is left of a submit.

    python benchmarks/answering_store.py HOST PORT

prints the port it listens on. Everything but `insert` into `tasks` goes through unchanged. With it the intake of
servers can be measured where the store is not the limit; nothing it acknowledges is kept anywhere.
"""

import asyncio
import struct
import sys

import bson

from anchor import wiring

HEADER = struct.Struct("<iiii")
LENGTH = struct.Struct("<i")
OP_MSG = 2013
TASKS = b"\x02insert\x00\x06\x00\x00\x00tasks\x00"
"""How a command that inserts into `tasks` begins, after the length of its BSON document."""
HEAD_BYTES = HEADER.size + 4 + 1
"""Before the command: the header, the flags, and the kind of the first section."""


def documents_in(message: bytes) -> int | None:
    """How many tasks a message inserts; None where it does something else."""
    first = HEAD_BYTES + LENGTH.size
    if HEADER.unpack_from(message)[3] != OP_MSG or not message.startswith(TASKS, first):
        return None
    at = HEAD_BYTES + LENGTH.unpack_from(message, HEAD_BYTES)[0]
    if at == len(message):
        body = bson.decode(message[HEAD_BYTES:])
        return len(body["documents"])
    # A section of documents: its kind, its length, the name "documents" and then one document after the other.
    at += 1 + LENGTH.size + len(b"documents\x00")
    count = 0
    while at < len(message):
        at += LENGTH.unpack_from(message, at)[0]
        count += 1
    return count


def answer(message: bytes, count: int) -> bytes:
    """What a MongoDB says that has inserted so many documents."""
    body = bson.encode({"n": count, "ok": 1.0})
    head = HEADER.pack(HEAD_BYTES + len(body), 0, HEADER.unpack_from(message)[1], OP_MSG)
    return head + b"\0\0\0\0\0" + body


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
    """One connection, until either end hangs up. A driver asks one thing at a time on it."""
    above, below = await asyncio.open_connection(host, port)
    back = asyncio.create_task(_copy(above, writer))
    try:
        while True:
            length = await reader.readexactly(LENGTH.size)
            message = length + await reader.readexactly(LENGTH.unpack(length)[0] - LENGTH.size)
            count = documents_in(message)
            if count is None:
                below.write(message)
            else:
                writer.write(answer(message, count))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # it hung up
    finally:
        back.cancel()
        below.close()
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while content := await reader.read(1 << 16):
        writer.write(content)
    writer.close()


async def main() -> None:
    host, port = sys.argv[1], int(sys.argv[2])
    server = await asyncio.start_server(lambda read, write: relay(read, write, host, port), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    wiring.run(main())
