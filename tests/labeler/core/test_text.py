"""Protects cards as text and as Markdown: what others wrote is shown letter for letter, and no sign
is escaped that no reader would take for its own.
"""

from __future__ import annotations

import re

import pytest

from labeler.core.text import escape_all_markdown, escape_markdown, markdown_code, markdown_table


@pytest.mark.parametrize(
    "text",
    [
        "The error is 0.5 (0.4 to 0.6): better than v1.2.",
        "my_photos_2023, a+b=c, x/y, 'quoted' & \"quoted\"",
        "CC BY 4.0 - see the notes: they say #3 and v1 -> v2!",
        "12:30, 50 % (half), a^b, e.g. this",
    ],
)
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert escape_markdown(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("![x](http://e.org/x.png)", r"\!\[x\](http\://e.org/x.png)"),
        ("<b onclick=x>", r"\<b onclick=x\>"),
        ("*a* _b_ ~~c~~ `d` $e$", r"\*a\* \_b\_ \~\~c\~\~ \`d\` \$e\$"),
        ("a|b\\", r"a\|b\\"),
        ("# a", r"\# a"),
        ("- a", r"\- a"),
        ("> a", r"\> a"),
        ("=====", r"\====="),
        ("12. a", r"12\. a"),
        ("3) a", r"3\) a"),
        ("&lt;b&gt;", r"\&lt;b\&gt;"),
        ("www.e.org a@e.org @ann", r"www\.e.org a\@e.org \@ann"),
        (":smile: :material/home: :red[x]", r"\:smile: \:material/home: \:red\[x\]"),
        ("{{ x }}", r"\{\{ x }}"),
        ("a\n\n# b\r- c", "a  # b - c"),
    ],
)
def test_what_markdown_takes_for_its_own_is_text(text: str, shown: str) -> None:
    assert escape_markdown(text) == shown
    assert re.sub(r"\\(.)", r"\1", shown) == " ".join(text.splitlines())  # nothing is lost
    assert "\n" not in escape_all_markdown(text)


def test_code_holds_whatever_it_is_given() -> None:
    assert markdown_code("lite") == "`lite`"
    assert markdown_code("a`\n\n# b|c") == "`a'  # b\\|c`"
    assert markdown_code(" ") == ""
    assert markdown_table(["a"], [[markdown_code("x|y")]])[2] == "| `x\\|y` |"
