"""What the shell completes, the commands' examples, and what a command imports before it does anything."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from command_line import CANARY, entry, new_home, run, save
from support import ROOT

from litellm_antigravity.accounts.companion import companion_of
from litellm_antigravity.cli import cli

pytestmark = pytest.mark.once

PROGRAM = "litellm-antigravity"
SLOW = ["litellm", "diskcache", "aiohttp", "rich", "httpx", "pydantic", "sqlite3", "asyncio"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return new_home(tmp_path, monkeypatch)


def in_process(*arguments: str, check: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, and then code that looks at what it has imported."""
    code = f"""
import sys
before = set(sys.modules)  # whatever Python itself was told to load, as for measuring coverage
from litellm_antigravity.cli import main
sys.argv = ["{PROGRAM}", *sys.argv[1:]]
try:
    main()
finally:
    {check or "pass"}
"""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
    )


def completed(line: str, shell: str = "bash", **variables: str) -> list[str]:
    """Return what Tab offers at the end of a command line, asking as click's script for the shell asks."""
    words = shlex.split(line)
    if line.endswith(" "):
        words.append("")
    asked = {"COMP_WORDS": shlex.join(words[:-1]) + f" {words[-1]}", "COMP_CWORD": str(len(words) - 1)}
    if shell == "fish":
        asked = {"COMP_WORDS": shlex.join(words), "COMP_CWORD": words[-1]}
    check = f"print('SLOW', sorted(set({SLOW}) & (set(sys.modules) - before)), file=sys.stderr)"
    done = in_process(check=check, _LITELLM_ANTIGRAVITY_COMPLETE=f"{shell}_complete", **asked, **variables)
    assert done.stderr == "SLOW []\n"
    return done.stdout.splitlines()


def offered(line: str, **variables: str) -> list[str]:
    return [one.partition(",")[2] for one in completed(line, **variables) if one]


# Completion


def test_commands_and_options_are_completed() -> None:
    assert offered(f"{PROGRAM} sta") == ["status"]
    assert offered(f"{PROGRAM} status --w") == ["--watch"]
    assert offered(f"{PROGRAM} completion ") == ["bash", "zsh", "fish"]


def test_accounts_are_completed_by_e_mail_and_label_from_the_file_and_its_companion(home: Path) -> None:
    save(home, entry(1), entry(2, label="spare"), entry(3, enabled=False))
    file = home / "config" / "antigravity-accounts.json"
    ours = {"version": 4, "accounts": [{"email": "vertex@company.example", "accessToken": CANARY}]}
    companion_of(file).write_text(json.dumps(ours))
    assert offered(f"{PROGRAM} status --account us") == [f"user{number}@gmail.com" for number in (1, 2, 3)]
    assert offered(f"{PROGRAM} status --account ") == [
        "user1@gmail.com",
        "user2@gmail.com",
        "spare",
        "user3@gmail.com",
        "vertex@company.example",
    ]
    assert offered(f"{PROGRAM} reset SP") == ["spare"]
    assert offered(f"{PROGRAM} reset user1@gmail.com user") == ["user2@gmail.com", "user3@gmail.com"]


def test_the_accounts_file_is_found_where_the_settings_say(home: Path) -> None:
    other = home / "elsewhere.json"
    other.write_text(json.dumps({"accounts": [{"email": "else@example.com", "refreshToken": CANARY}]}))
    (home / "config").mkdir()
    (home / "config" / "antigravity.json").write_text(f'{{"accounts_file": "{other}"}}')
    assert offered(f"{PROGRAM} reset ") == ["else@example.com"]
    assert offered(f"{PROGRAM} reset ", LITELLM_ANTIGRAVITY_ACCOUNTS_FILE=str(home / "none.json")) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"accounts": 7}', '{"accounts": [7, {"email": 7}, {"label": "a\\nb"}]}']
)
def test_with_a_broken_file_nothing_is_offered_and_nothing_said(home: Path, text: str) -> None:
    (home / "config").mkdir()
    (home / "config" / "antigravity-accounts.json").write_text(text)
    assert offered(f"{PROGRAM} reset ") == []


def test_models_and_pools_are_completed_in_either_spelling() -> None:
    assert offered(f"{PROGRAM} ask Hello --model claude-s") == ["claude-sonnet-4-6"]
    assert offered(f"{PROGRAM} status --model antigravity/claude-s") == ["antigravity/claude-sonnet-4-6"]
    assert offered(f"{PROGRAM} reset --pool cl")[0] == "claude"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_asks_this_program(shell: str, home: Path) -> None:
    save(home, entry(1))
    result = run("completion", shell)
    assert result.exit_code == 0
    assert f"_LITELLM_ANTIGRAVITY_COMPLETE={shell}_complete" in result.stdout
    assert run("completion", SHELL=f"/usr/bin/{shell}").stdout == result.stdout
    assert any("user1@gmail.com" in line for line in completed(f"{PROGRAM} reset us", shell))


def test_without_a_known_shell_it_asks_which() -> None:
    result = run("completion", SHELL="/bin/ksh")
    assert result.exit_code == 2
    assert "bash, zsh, fish" in result.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_completes_an_account_once_it_has_read_the_script(home: Path, tmp_path: Path) -> None:
    save(home, entry(1))
    program = tmp_path / "bin" / PROGRAM
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom litellm_antigravity.cli import main\nmain()\n")
    program.chmod(0o755)
    script = f"""
        eval "$({PROGRAM} completion bash)"
        COMP_WORDS=({PROGRAM} status --account us) COMP_CWORD=3
        $(complete -p {PROGRAM} | sed 's/.*-F \\([^ ]*\\) .*/\\1/') {PROGRAM}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    variables = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [shutil.which("bash") or "", "-c", script], capture_output=True, text=True, check=False, env=variables
    )
    assert (done.stdout, done.stderr) == ("user1@gmail.com\n", "")


# Examples


def commands(group: click.Group = cli, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        whole = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            yield from commands(command, whole)
        else:
            yield whole, command


def examples_in(command: click.Command) -> list[str]:
    """Return the lines below "Example:" or "Examples:" at the end of a command's help, without comments."""
    _, _, lines = re.sub(r"Example:\n", "Examples:\n", command.epilog or "").partition("Examples:\n")
    return [line.strip() for line in lines.splitlines() if line.strip() and not line.strip().startswith("#")]


def calls_in(example: str) -> Iterator[list[str]]:
    """Yield the arguments of this program's calls in an example: without what a pipe or a redirection adds."""
    typed = re.split(r"\s{3,}", example.replace('eval "$(', "").replace(')"', ""))[0]  # a remark may follow
    words = shlex.split(typed)
    while PROGRAM in words:
        words = words[words.index(PROGRAM) + 1 :]
        end = min((words.index(one) for one in ("|", ">") if one in words), default=len(words))
        yield words[:end]


@pytest.mark.parametrize(("path", "command"), list(commands()))
def test_every_command_has_examples_in_its_help_which_it_takes(path: str, command: click.Command) -> None:
    examples = examples_in(command)
    assert examples
    text = run(*path.split(), "--help").stdout
    for example in examples:
        assert f"    {example}\n" in text
        calls = list(calls_in(example))
        assert any(words[: len(path.split())] == path.split() for words in calls)
        for words in calls:
            taken: Any = cli
            while isinstance(taken, click.Group):
                taken = taken.commands[words.pop(0)]
            taken.make_context(path, words, **cli.context_settings)  # what a command has made of them, it keeps


# What a command imports


@pytest.mark.parametrize(
    "arguments",
    [
        ["auth", "list"],
        ["auth", "retry", "user1@gmail.com"],
        ["models", "--offline"],
        ["status"],
        ["status", "--json"],
        ["status", "--model", "claude-sonnet-4-6"],
        ["reset", "--all", "--yes"],
        ["reset", "--scores", "--all", "--yes"],
        ["completion", "bash"],
        ["--version"],
        ["--help"],
    ],
    ids=" ".join,
)
def test_a_command_that_needs_no_network_imports_neither_litellm_nor_a_client(home: Path, arguments: list[str]) -> None:
    save(home, entry(1))
    heavy = "{'litellm', 'openai', 'aiohttp', 'httpx', 'pydantic_settings'}"
    done = in_process(*arguments, check=f"print(sorted({heavy} & set(sys.modules)), file=sys.stderr)")
    assert done.returncode == 0
    assert done.stderr == "[]\n"


# The page about it


def test_the_page_about_the_command_line_names_every_command_and_every_field_of_the_json(home: Path) -> None:
    page = (ROOT / "docs" / "command-line.md").read_text("utf-8")
    assert [path for path, _ in commands() if f"`{path}`" not in page] == []
    save(home, entry(1))
    (home / "state").mkdir()
    document = json.loads(run("status", "--json").stdout)
    fields = {*document, *document["summary"][0], *document["accounts"][0], *document["shared_state"]}
    fields |= {*document["accounts"][0]["pools"][0]}
    words = set(re.findall(r"[a-z_]+", page))
    assert fields - words == set()
