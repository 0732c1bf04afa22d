"""Plots are XML, keep their proportions, and can be read on dark as on light."""

from xml.etree import ElementTree as ET

import pytest

from bench.svg import Bar, bars, lines, number, stack

SVG = "{http://www.w3.org/2000/svg}"


def drawn(text: str) -> ET.Element:
    assert "prefers-color-scheme: dark" in text
    return ET.fromstring(text)  # noqa: S314 - what we drew ourselves


def widths(root: ET.Element) -> list[float]:
    return [float(each.attrib["width"]) for each in root.iter(f"{SVG}rect") if each.attrib["height"] != "12"]


def words(root: ET.Element) -> list[str]:
    return [each.text or "" for each in root.iter(f"{SVG}text")]


def test_bars_are_as_long_as_their_values() -> None:
    root = drawn(bars("t", "ms", [Bar("a", 10.0, "ours"), Bar("b < c", 20.0, "peer")]))
    short, long = widths(root)
    assert long == pytest.approx(2 * short, rel=0.01)
    assert "b < c" in words(root)
    assert "ms" in words(root)


def test_bars_that_differ_much_are_on_a_logarithmic_scale_and_say_so() -> None:
    root = drawn(bars("t", "ms", [Bar("a", 1.0, "ours"), Bar("b", 1000.0, "peer")], goal=4.0))
    short, long = widths(root)
    assert long < 20 * short
    assert "ms, logarithmic, dashed: the goal" in words(root)
    (line,) = root.iter(f"{SVG}line")
    assert short < float(line.attrib["x1"]) - 250 < long


def test_a_stack_fills_the_width_and_names_each_part() -> None:
    root = drawn(stack("t", "ms", [("a", 1.0), ("b", 3.0), ("less than nothing", -0.5)]))
    first, second, third = widths(root)
    assert second == pytest.approx(3 * first, rel=0.01)
    assert third == 1
    assert words(root)[1:] == ["a: 1 ms", "b: 3 ms", "less than nothing: -0.5 ms"]


def test_lines_rise_with_their_values() -> None:
    root = drawn(lines("t", "n", {"ours": [(1, 30.0), (10, 60.0), (1000, 3000.0)]}))
    (line,) = root.iter(f"{SVG}polyline")
    heights = [float(pair.split(",")[1]) for pair in line.attrib["points"].split()]
    assert heights == sorted(heights, reverse=True)
    assert "1,000" in words(root)


@pytest.mark.parametrize(
    ("value", "text"), [(0.123456, "0.123"), (4.5, "4.5"), (59.98, "60"), (123.4, "123"), (200_000.0, "200,000")]
)
def test_numbers_have_three_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text
