"""Texts of strangers on a terminal: what would move its cursor, colour it or write its title is shown as a mark."""

from rich.text import Text

_MARKS = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"} | {0x7F: 0x2421}
_MARKS |= dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)
"""Control characters, and those that turn the direction of writing. Each becomes one other, so that styles stay put."""


def plain(text: str | Text) -> Text:
    """The text with nothing in it but text."""
    if isinstance(text, str):
        return Text(text.translate(_MARKS))
    shown = text.plain.translate(_MARKS)
    if shown != text.plain:
        text = text.copy()
        text.plain = shown
    return text
