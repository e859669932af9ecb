"""Makes a figure part of a page: live text in the page's own colours.

matplotlib writes an SVG file for a white sheet. In a page two files may use one
id, and a dark page would glare; so ids get a prefix, and colours become
variables, each with a value for a light page and one for a dark page.
"""

import colorsys
import re
from xml.etree import ElementTree as ET

from jaxpower.report.render.figure_style import AS_IS, FAINT, INK

HREF = "{http://www.w3.org/1999/xlink}href"
REFERENCE = re.compile(r"url\(#([^)]+)\)")
COLOR = re.compile(r"#[0-9a-f]{6}")
# A colour's value on a dark page: of the page itself, of text and of lines;
# black is what matplotlib takes where nothing is said.
DARK_PAPER = "#16181c"
DARK = {
  "#ffffff": DARK_PAPER,
  "#000000": "#e4e6ea",
  INK: "#d3d7de",
  FAINT: "#454b55",
}
LEAST_CONTRAST = 3.0  # of any other colour on the dark page (WCAG 1.4.11)
STEPS = 100  # between a colour and white
# Decimals beyond the second of where something is, in points of 1/72 inch: no
# screen shows them, and they are a third of a figure.
UNSEEN = re.compile(r"(\.\d\d)\d+")
PLACES = {"d", "x", "y", "points"}


def inline(svg: bytes, prefix: str, caption: str) -> tuple[str, set[str]]:
  """Makes an SVG file an element of a page.

  Args:
    svg: The file.
    prefix: Of its ids, unlike that of any other figure of the page.
    caption: The id of the element that says what is seen.

  Returns the element, and the colours in it that the page has to define.
  """
  root = ET.fromstring(svg)
  wanted = _references(root)
  colors: set[str] = set()
  _walk(root, prefix, wanted, colors, as_is=False)
  # What matplotlib's style sheet says of all elements, which would be the
  # page's too.
  root.set("style", "stroke-linejoin: round; stroke-linecap: butt")
  root.set("role", "img")
  root.set("aria-labelledby", caption)
  return ET.tostring(root, encoding="unicode"), colors


def _references(root: ET.Element) -> set[str]:
  """Returns the ids that something in the file leads to."""
  wanted = set()
  for element in root.iter():
    for name, value in element.attrib.items():
      wanted |= set(REFERENCE.findall(value))
      if name in (HREF, "href"):
        wanted.add(value.removeprefix("#"))
  return wanted


def _walk(
  element: ET.Element,
  prefix: str,
  wanted: set[str],
  colors: set[str],
  as_is: bool,
) -> None:
  """Takes names of spaces and ids off, and makes colours variables."""
  as_is = as_is or element.get("id", "").startswith(AS_IS)
  element.tag = _local(element.tag)
  for name, value in list(element.attrib.items()):
    del element.attrib[name]
    if _local(name) == "id":
      if value in wanted:
        element.set("id", f"{prefix}-{value}")
    elif _local(name) == "href":
      element.set("href", f"#{prefix}-{value.removeprefix('#')}")
    else:
      value = REFERENCE.sub(rf"url(#{prefix}-\1)", value)
      if not as_is and _local(name) in ("style", "fill", "stroke"):
        colors |= set(COLOR.findall(value))
        value = COLOR.sub(lambda found: variable(found[0]), value)
      if _local(name) in PLACES:
        value = UNSEEN.sub(r"\1", value)
      element.set(_local(name), value)
  if element.tag == "text" and not as_is and "fill" not in _style(element):
    # Black, where nothing is said.
    colors.add("#000000")
    element.set(
      "style", f"{_style(element)}; fill: {variable('#000000')}".lstrip("; ")
    )
  for child in list(element):
    if _local(child.tag) in ("metadata", "style"):
      element.remove(child)
    else:
      _walk(child, prefix, wanted, colors, as_is)
  _say_once(element)
  _unwrap(element)


def _unwrap(element: ET.Element) -> None:
  """Puts what a group without attributes holds in the group's place."""
  if any(child.tag == "g" and not child.attrib for child in element):
    element[:] = [
      part
      for child in element
      for part in (child if child.tag == "g" and not child.attrib else [child])
    ]


def _say_once(element: ET.Element) -> None:
  """Says the style of many equal marks on what holds them."""
  children = list(element)
  styles = {_style(child) for child in children}
  if len(children) < 2 or len(styles) > 1 or "style" in element.attrib:
    return
  (style,) = styles
  marks = all(child.tag == "use" for child in children)
  if style and marks and "url(" not in style:
    element.set("style", style)
    for child in children:
      del child.attrib["style"]


def _style(element: ET.Element) -> str:
  return element.get("style", "")


def _local(name: str) -> str:
  return name.rpartition("}")[2]


def variable(color: str) -> str:
  """Writes a colour as a variable of the page, with its value on white."""
  return f"var(--c{color[1:]}, {color})"


def on_dark(color: str) -> str:
  """Returns a colour's value on a dark page: lightened until it shows."""
  if color in DARK:
    return DARK[color]
  for step in range(STEPS):
    mixed = _mixed(color, step / STEPS)
    if contrast(mixed, DARK_PAPER) >= LEAST_CONTRAST:
      return mixed
  return "#ffffff"


def _mixed(color: str, share: float) -> str:
  """Raises the lightness of a colour towards white, by a share of the way."""
  red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
  hue, light, saturation = colorsys.rgb_to_hls(red, green, blue)
  rgb = colorsys.hls_to_rgb(hue, light + (1 - light) * share, saturation)
  return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


def contrast(one: str, other: str) -> float:
  """Returns the contrast of two colours (WCAG 2), from 1 to 21."""
  low, high = sorted((_luminance(one), _luminance(other)))
  return (high + 0.05) / (low + 0.05)


def _luminance(color: str) -> float:
  linear = [
    c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
    for i in (1, 3, 5)
    for c in [int(color[i : i + 2], 16) / 255]
  ]
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
