"""Types and their join."""

import pytest

from graphc.ir import Type, join

SCALAR, HID, OUT = Type(), Type("real", False, ("hid",)), Type("real", False, ("out",))
BATCHED = Type("real", True, ("hid",))


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ((SCALAR, HID), HID),
        ((HID, BATCHED), BATCHED),
        ((SCALAR, BATCHED, HID), BATCHED),
        ((HID, OUT), None),
        ((Type("real", False, ("hid", "out")), HID), None),
        ((Type("bool"), Type("int")), Type("int")),
        ((Type("int"), Type("real")), Type("real")),
        ((Type("bool", True), HID), BATCHED),
        ((Type("real", True), HID), BATCHED),
        ((), SCALAR),
    ],
    ids=lambda p: ", ".join(map(str, p)) if isinstance(p, tuple) else str(p),
)
def test_join_widens_or_refuses(types, expected):
    found = join(*types)
    if not types:
        assert found is not None and found.axes == () and not found.batched
    else:
        assert found == expected
        assert join(*reversed(types)) == expected


def test_a_type_reads_as_its_domain():
    assert str(Type("bool", True, ("hid",))) == "bool[B, hid]"
    assert str(SCALAR) == "real[]"


def test_with_dtype_keeps_the_domain():
    assert BATCHED.with_dtype("int") == Type("int", True, ("hid",))
