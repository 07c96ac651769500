"""Lines of source text."""

from graphc.codegen.writer import Writer
from graphc.ir import Loc


def test_blocks_indent_and_close():
    w = Writer()
    with w.block("for (;;) {", "}"):
        w.line("x++;")
    assert w.text() == "for (;;) {\n    x++;\n}\n"


def test_a_note_ends_the_line_as_a_comment_with_the_base_name_of_the_file():
    w = Writer(comment="#")
    w.line("v = 0", Loc("/somewhere/lif.py", 12))
    assert w.text() == "v = 0  # lif.py:12\n"


def test_no_line_ends_in_blanks():
    w = Writer()
    with w.block("{", "}"):
        w.line()
        w.lines("a\n\nb")
    assert w.text() == "{\n\n    a\n\n    b\n}\n"


def test_an_empty_text_has_no_line():
    assert Writer().text() == ""
