"""Compares two pictures in the browser: how many pixels differ, and where."""

import base64
from dataclasses import dataclass

from playwright.sync_api import Page

SLACK = 8
"""By how much of 255 a colour may differ and still be the same one."""
PIXELS_MAX = 12
"""So many pixels may differ in a picture that counts as the same: less than a letter has."""
COMPARE = """
async ([before, after, slack]) => {
  const read = async (png) => {
    const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
    return createImageBitmap(new Blob([bytes], { type: "image/png" }), { colorSpaceConversion: "none" });
  };
  const [one, other] = [await read(before), await read(after)];
  const [width, height] = [Math.max(one.width, other.width), Math.max(one.height, other.height)];
  const canvas = new OffscreenCanvas(width, height);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const drawn = (picture) => {
    pen.clearRect(0, 0, width, height);
    pen.drawImage(picture, 0, 0);
    return pen.getImageData(0, 0, width, height);
  };
  const [was, is] = [drawn(one).data, drawn(other).data];
  const marked = new ImageData(width, height);
  let [pixels, left, top, right, bottom] = [0, width, height, -1, -1];
  for (let at = 0; at < is.length; at += 4) {
    const differs = [0, 1, 2, 3].some((part) => Math.abs(was[at + part] - is[at + part]) > slack);
    const grey = 192 + (is[at] + is[at + 1] + is[at + 2]) / 12;
    marked.data.set(differs ? [208, 0, 48, 255] : [grey, grey, grey, 255], at);
    if (!differs) continue;
    const [x, y] = [(at / 4) % width, Math.floor(at / 4 / width)];
    pixels += 1;
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
  }
  const area = pixels === 0 ? [0, 0, 0, 0] : [left, top, right - left + 1, bottom - top + 1];
  pen.putImageData(marked, 0, 0);
  pen.strokeStyle = "rgb(208 0 48)";
  pen.lineWidth = 2;
  if (pixels > 0) pen.strokeRect(left - 5, top - 5, area[2] + 10, area[3] + 10);
  const file = new FileReader();
  const url = new Promise((done) => { file.onload = () => done(file.result); });
  file.readAsDataURL(await canvas.convertToBlob({ type: "image/png" }));
  const sizes = [[one.width, one.height], [other.width, other.height]];
  return { pixels, area, sizes, marked: (await url).split(",")[1] };
}
"""


AT_THE_EDGE = """
async ([png, wide]) => {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }), { colorSpaceConversion: "none" });
  const pen = new OffscreenCanvas(wide, picture.height).getContext("2d");
  pen.drawImage(picture, wide - picture.width, 0);
  const colours = new Uint32Array(pen.getImageData(0, 0, wide, picture.height).data.buffer);
  const ground = colours[wide - 1];
  let rows = 0;
  for (let row = 0; row < picture.height; row += 1) {
    if (colours.subarray(row * wide, (row + 1) * wide).some((colour) => colour !== ground)) rows += 1;
  }
  return rows;
}
"""


@dataclass(frozen=True)
class Difference:
    """What differs between two pictures. `area` is the rectangle that holds all of it: left, top, width and height;
    `marked` is the newer picture, paled, with what differs in red."""

    pixels: int
    share: float
    area: tuple[int, int, int, int]
    before: tuple[int, int]
    after: tuple[int, int]
    marked: bytes

    def __bool__(self) -> bool:
        return self.pixels > PIXELS_MAX or self.before != self.after

    def __str__(self) -> str:
        left, top, width, height = self.area
        words = f"{self.pixels:,} pixels ({self.share:.3%}) in {width} by {height} at {left}, {top}"
        if self.before != self.after:
            words += "; {} by {} became {} by {}".format(*self.before, *self.after)
        return words


def difference(page: Page, before: bytes, after: bytes, *, slack: int = SLACK) -> Difference:
    """Two pictures (PNG) beside each other; true where anybody could see that they differ."""
    texts = [base64.b64encode(picture).decode() for picture in (before, after)]
    found = page.evaluate(COMPARE, [*texts, slack])
    [before_size, after_size] = map(tuple, found["sizes"])
    whole = max(before_size[0], after_size[0]) * max(before_size[1], after_size[1])
    return Difference(
        pixels=found["pixels"],
        share=found["pixels"] / whole,
        area=tuple(found["area"]),
        before=before_size,
        after=after_size,
        marked=base64.b64decode(found["marked"]),
    )


def at_the_edge(page: Page, picture: bytes, pixels: int) -> int:
    """In how many rows anything but the ground is drawn within so many pixels of a picture's right edge."""
    rows: int = page.evaluate(AT_THE_EDGE, [base64.b64encode(picture).decode(), pixels])
    return rows
