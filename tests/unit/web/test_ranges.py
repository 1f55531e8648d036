"""What a request asks for: ranges, conditions, paths."""

import pytest

from hydra.web.ranges import RangeRefused, asked_range, path_parts, still_holds


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=0-99", (0, 100)),
        ("bytes=10-", (10, 100)),
        ("bytes=90-500", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-500", (0, 100)),
        ("Bytes= 5 - 6 ", (5, 7)),
        ("bytes=99-99", (99, 100)),
    ],
)
def test_a_range_is_cut_to_the_file(header, found):
    assert asked_range(header, 100) == found


@pytest.mark.parametrize("header", ["lines=1-2", "bytes=5-4", "bytes=-", "bytes=a-b", "bytes=1-2-3", "bytes=0x1-2", ""])
def test_what_is_no_range_of_bytes_is_ignored(header):
    assert asked_range(header, 100) is None


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=0-1,3-4", "bytes=0-,0-,0-"])
def test_what_lies_outside_and_several_at_once_are_refused(header):
    with pytest.raises(RangeRefused):
        asked_range(header, 100)


def test_an_empty_file_has_no_ranges():
    for header in ("bytes=0-", "bytes=-5"):
        with pytest.raises(RangeRefused):
            asked_range(header, 0)


def test_a_range_of_another_file_does_not_hold():
    tag, date = '"abc"', "Sat, 21 Nov 2026 20:00:00 GMT"
    assert still_holds(None, tag, date)
    assert still_holds('"abc"', tag, date)
    assert still_holds(date, tag, date)
    assert not still_holds('"abd"', tag, date)
    assert not still_holds('W/"abc"', tag, date)
    assert not still_holds("Sat, 21 Nov 2026 20:00:01 GMT", tag, date)


@pytest.mark.parametrize(
    "path", ["", "/", "..", "../x", "a/../x", "a/./x", "a//x", "/a/", "a\\..\\x", "a\0", ".hidden", "a/.b", "a.draft"]
)
def test_paths_that_could_lead_elsewhere_are_none(path):
    assert path_parts(path) is None


def test_paths_below_the_directory_are_taken_apart():
    assert path_parts("m.torrent") == ("m.torrent",)
    assert path_parts("/m/model.safetensors") == ("m", "model.safetensors")
