"""The entries of a zip, as its central directory lists them: stored or deflated, not encrypted, in one part.

https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import stat
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from anchor.wire.archive_entries import Entry, Kind, Room, damaged, refused, shown

ZIP_STARTS: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""What a zip begins with; the second one is empty."""
_END: Final = struct.Struct("<4s4H2LH")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_COMMENT_MAX: Final = 65_535
_ENCRYPTED, _UTF8 = 0x1, 0x800
_STORED, _DEFLATED = 0, 8
_UNIX: Final = 3
_CHUNK_BYTES: Final = 256 * 1024
_NOT_32_BIT: Final = 0xFFFFFFFF


def zip_entries(file: BinaryIO, room: Room) -> Iterator[Entry]:
    """Every entry in the order of the directory; InvalidRequest where it is damaged or not taken."""
    at, end = _directory(file)
    while at < end:
        file.seek(at)
        header = file.read(_CENTRAL.size)
        if len(header) < _CENTRAL.size or not header.startswith(b"PK\x01\x02"):
            raise damaged("its directory is broken")
        fields = _CENTRAL.unpack(header)
        made_by, flags, method, checksum, packed, size = fields[1] >> 8, fields[3], fields[4], *fields[7:10]
        name_size, extra_size, comment_size, attributes, offset = *fields[10:13], *fields[15:17]
        raw = file.read(name_size)
        path = _decoded(raw, flags)
        at += _CENTRAL.size + name_size + extra_size + comment_size
        room.enter()
        if flags & _ENCRYPTED:
            raise refused(path, "is encrypted")
        if method not in (_STORED, _DEFLATED):
            raise refused(path, "is packed in a way that is not read here; deflate is the usual one")
        if _NOT_32_BIT in (packed, size, offset):
            raise refused(path, "is written as zip64, which only archives beyond 4 GiB need")
        mode = attributes >> 16 if made_by == _UNIX else 0
        if path.endswith("/") or stat.S_ISDIR(mode):
            yield Entry(path=path, kind=Kind.FOLDER)
            continue
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFLNK):
            raise refused(path, "is neither a file nor a folder")
        chunks = _content(file, offset, packed, size, checksum, method, path, room)
        if stat.S_ISLNK(mode):
            if size > room.link_bytes_max:
                raise refused(path, "is a link with too long a target")
            yield Entry(path=path, kind=Kind.LINK, target=b"".join(chunks).decode(errors="replace"))
            continue
        yield Entry(path=path, kind=Kind.FILE, executable=bool(mode & 0o100), chunks=chunks)


def _directory(file: BinaryIO) -> tuple[int, int]:
    """Where the central directory begins and ends."""
    file.seek(0, 2)
    size = file.tell()
    file.seek(max(0, size - _END.size - _COMMENT_MAX))
    tail = file.read()
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or len(tail) - found < _END.size:
        raise damaged("it is no whole zip")
    fields = _END.unpack_from(tail, found)
    length, start = fields[5], fields[6]
    end = size - len(tail) + found
    if fields[1] or fields[2] or start + length > end:
        raise damaged("it is one part of several, a zip64, or cut off")
    return start, start + length


def _decoded(raw: bytes, flags: int) -> str:
    """A name; many programs write UTF-8 without saying so, and Windows' own ones backslashes."""
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        name = raw.decode("utf-8" if flags & _UTF8 else "cp437", errors="replace")
    return name.replace("\\", "/")


def _content(
    file: BinaryIO, offset: int, packed: int, size: int, checksum: int, method: int, path: str, room: Room
) -> Iterator[bytes]:
    file.seek(offset)
    header = file.read(_LOCAL.size)
    if len(header) < _LOCAL.size or not header.startswith(b"PK\x03\x04"):
        raise damaged(f"the entry {shown(path)} is not where its directory says")
    at = offset + _LOCAL.size + sum(_LOCAL.unpack(header)[9:11])
    unpack = zlib.decompressobj(-zlib.MAX_WBITS) if method == _DEFLATED else None
    have = sum_so_far = 0
    left = packed
    try:
        while left or (unpack is not None and unpack.unconsumed_tail):
            if unpack is not None and unpack.unconsumed_tail:
                chunk = unpack.decompress(unpack.unconsumed_tail, _CHUNK_BYTES)
            else:
                file.seek(at)
                read = file.read(min(left, _CHUNK_BYTES))
                if not read:
                    raise damaged(f"the entry {shown(path)} is cut off")
                at, left = at + len(read), left - len(read)
                chunk = read if unpack is None else unpack.decompress(read, _CHUNK_BYTES)
            have += len(chunk)
            sum_so_far = zlib.crc32(chunk, sum_so_far)
            room.take(len(chunk), path)
            if have > size:
                raise refused(path, "has more bytes than the archive says")
            if unpack is not None and unpack.eof and left:
                raise damaged(f"the entry {shown(path)} goes on behind its end")
            yield chunk
    except zlib.error as error:
        raise damaged(f"the entry {shown(path)} is damaged") from error
    if have != size or sum_so_far != checksum:
        raise refused(path, "has other bytes than the archive says")
