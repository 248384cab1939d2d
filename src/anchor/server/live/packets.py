"""What a page may send on the live link: every packet is read here before anything else sees it."""

import re
from typing import Literal

import msgspec

from anchor.wire.live import Room

PONG = "3"
CLOSE = "1"
CONNECT = "40"
DISCONNECT = "41"
EVENT = "42"
_EVENT = re.compile(r"42([0-9]{1,9})(\[.*\])", re.DOTALL)


class Auth(msgspec.Struct, frozen=True):
    """What a client may say of itself when it connects; others things in there are passed over."""

    token: str = ""


class Event(msgspec.Struct, frozen=True):
    """Something asked for; `room` is empty where none goes with it."""

    name: Literal["join", "leave", "pause", "resume"]
    room: str = ""


Packet = Auth | Event | None
"""A connect packet, an event, or (None) one that only keeps the connection up or ends it."""
_auth = msgspec.json.Decoder(Auth)
_about_room = msgspec.json.Decoder(tuple[Literal["join", "leave"], Room])
_about_all = msgspec.json.Decoder(tuple[Literal["pause", "resume"]])


class NotUnderstood(Exception):
    """A packet that no page of ours sends."""


def read(text: str) -> Packet:
    """What a packet says. NotUnderstood where it is none of the few that are expected."""
    if text in (PONG, CLOSE, DISCONNECT):
        return None
    try:
        if text.startswith(CONNECT):
            return _auth.decode(text[len(CONNECT) :]) if text != CONNECT else Auth()
        event = _EVENT.fullmatch(text)
        if event is None:
            raise NotUnderstood
        try:
            name, room = _about_room.decode(event[2])
            return Event(name, room.room)
        except msgspec.ValidationError:
            return Event(_about_all.decode(event[2])[0])
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        raise NotUnderstood from None
