"""The live link: what pages are shown changes before their eyes, over Socket.IO at /live."""
