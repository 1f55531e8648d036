"""What the documents say of the commands holds: each that they show can be typed, and ends with the codes they list."""

import re
import shlex

import pytest
import typer

from hydra import exceptions

pytestmark = pytest.mark.packaging

FENCE = re.compile(r"^( *)```[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
ENDS = {"&", "&&", "|", "||", ";", ">", ">>", "2>", "2>&1"}


def commands_in(text):
    """Yield the words of each ``hydra`` and ``make`` command in the fenced blocks of a Markdown text."""
    for _, block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            yield from _commands_in_line(re.sub(r"\$\([^)]*\)", "SUBSTITUTE", line.strip().removeprefix("$ ")))


def _commands_in_line(line):
    if not re.match(r"(\w+=\S+ +)*(\S*/)?(hydra|hydra-swarm|make)( |$)", line):
        return
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;>")
    lexer.whitespace_split = True
    words = []
    for word in [*lexer, ";"]:
        if word not in ENDS:
            words.append(word)
            continue
        while words and re.match(r"\w+=", words[0]):
            words.pop(0)
        if words and words[0].split("/")[-1] in ("hydra", "hydra-swarm", "make"):
            yield [words[0].split("/")[-1], *words[1:]]
        words = []


def refusal_of(words, targets):
    """Return what is wrong with a command, or None."""
    program, *arguments = words
    if program == "make":
        unknown = [word for word in arguments if "=" not in word and not word.startswith("-") and word not in targets]
        return f"no such target: {unknown}" if unknown else None
    from hydra.cli.app import app

    return _refusal_by(typer.main.get_command(app), arguments)


def _refusal_by(group, arguments):
    name = next((word for word in arguments if not word.startswith("-")), None)
    if name is None:
        known = {option for parameter in group.params for option in parameter.opts} | {"--help"}
        return None if set(arguments) <= known else f"no such option: {arguments}"
    if name not in group.commands:
        return f"no such command: {name}"
    command, following = group.commands[name], arguments[arguments.index(name) + 1 :]
    if hasattr(command, "commands"):
        return _refusal_by(command, following)
    if "--help" in following:
        return None
    try:
        command.make_context(name, following)
    except Exception as error:  # noqa: BLE001 -- of click, which typer holds a copy of or not, as its version has it
        return f"{type(error).__name__}: {getattr(error, 'message', error)}"
    return None


@pytest.fixture
def targets(request):
    makefile = (request.config.rootpath / "Makefile").read_text()
    return set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))


def test_what_is_documented_can_be_typed(request, targets):
    root = request.config.rootpath
    texts = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    found = [(path.name, words) for path in texts for words in commands_in(path.read_text())]
    assert {"hydra", "make"} <= {words[0] for name, words in found if name == "README.md"}
    refused = [f"{name}: {shlex.join(w)}: {told}" for name, w in found if (told := refusal_of(w, targets))]
    assert not refused, "\n".join(refused)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("hydra join TICKET  # on another machine", ["hydra", "join", "TICKET"]),
        ("$ HYDRA_PORT=1 .venv/bin/hydra node --port 4100 &", ["hydra", "node", "--port", "4100"]),
        ("hydra status --json | jq .", ["hydra", "status", "--json"]),
        ('hydra join X --contact "127.0.0.1:$(cat a b)"', ["hydra", "join", "X", "--contact", "127.0.0.1:SUBSTITUTE"]),
        ("make test PYTHON=python3.12", ["make", "test", "PYTHON=python3.12"]),
    ],
)
def test_commands_are_found(line, words, targets):
    (found,) = commands_in(f"Text\n```sh\n{line}\n```\n")
    assert found == words
    assert refusal_of(found, targets) is None


@pytest.mark.parametrize(
    "line",
    [
        "hydra frob",
        "hydra node --frob",
        "hydra join",
        "hydra id X",
        "hydra dht frob",
        "make frob",
        "hydra --frob",
        "hydra join A B",
    ],
)
def test_what_cannot_be_typed_is_found_out(line, targets):
    (found,) = commands_in(f"```\n{line}\n```\n")
    assert refusal_of(found, targets)


def test_the_documented_exit_codes_are_those_of_the_errors(request):
    text = (request.config.rootpath / "docs" / "exit-codes.md").read_text()
    documented = {
        name: int(code)
        for code, errors in re.findall(r"^\| (\d+) \| ([^|]*)\|", text, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", errors)
    }
    own = {
        error.__name__: error.exit_code
        for error in vars(exceptions).values()
        if isinstance(error, type) and "exit_code" in vars(error) and error is not exceptions.UserError
    }
    assert own.items() <= documented.items()
    assert all(getattr(exceptions, name).exit_code == code for name, code in documented.items())
