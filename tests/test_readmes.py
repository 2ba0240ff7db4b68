"""The READMEs and the guides: links, languages, and commands that exist."""

import importlib
import re
import shlex

import pytest
import typer

from tests.conftest import ROOT

PACKAGES = {"oppai": "oppai", "facescore": "facescore", "illust-diffusion": "diffusion"}
TEXTS = ["README.md", "README.ja.md", "docs/index.md"]
TEXTS += [f"docs/{package}.md" for package in PACKAGES.values()]
TEXTS += [f"{each}/weights/README.md" for each in ("illustkit", *PACKAGES.values())]


def code_lines(text):
    """Lines of the code blocks, without comments and blank ones."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    lines = [line.split("#")[0].split() for line in lines]
    return [" ".join(line) for line in lines if line]


def test_the_readmes_link_each_other_and_give_the_same_commands():
    english = (ROOT / "README.md").read_text("utf-8")
    japanese = (ROOT / "README.ja.md").read_text("utf-8")
    assert "(README.ja.md)" in english and "(README.md)" in japanese
    commands = code_lines(japanese)
    assert {c.split()[0] for c in commands} >= {"oppai", "facescore", "make"}
    assert [c for c in commands if c not in code_lines(english)] == []


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_to_files(name):
    text = (ROOT / name).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
        assert (ROOT / name).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("name", TEXTS)
def test_commands_and_their_options_exist(name):
    """Each is looked up in the command line itself; deprecated names are not shown."""
    lines = code_lines((ROOT / name).read_text("utf-8"))
    for line in lines:
        program, *words = shlex.split(line)
        if program not in PACKAGES:
            continue
        app = importlib.import_module(f"{PACKAGES[program]}.cli.main").app
        command = typer.main.get_command(app)
        while hasattr(command, "commands"):
            command, words = command.commands[words[0]], words[1:]
        shown = {
            option
            for parameter in command.params
            if not getattr(parameter, "hidden", False)
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        options = {word for word in words if word.startswith("--")}
        assert options <= shown, f"{line}: {options - shown}"
