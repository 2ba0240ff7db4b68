"""The Japanese README has no command that the English one lacks."""

import re

from tests.conftest import ROOT


def code_lines(text):
    """Return the lines of the code blocks, without comments and blank lines."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.split("#")[0].split() for line in "".join(blocks).splitlines()]
    return [" ".join(line) for line in lines if line]


def test_the_readmes_link_each_other_and_give_the_same_commands():
    english = (ROOT / "README.md").read_text("utf-8")
    japanese = (ROOT / "README.ja.md").read_text("utf-8")
    assert "(README.ja.md)" in english and "(README.md)" in japanese
    commands = code_lines(japanese)
    assert {c.split()[0] for c in commands} >= {"oppai", "facescore", "make"}
    assert [c for c in commands if c not in code_lines(english)] == []
    for target in re.findall(r"\]\(([^)#:]+)\)", japanese):
        assert (ROOT / target).is_file(), target
