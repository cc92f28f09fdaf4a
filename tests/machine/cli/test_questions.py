"""Questions in `python -m machine run`: what is initial, what is possible, and why not."""

import json
from pathlib import Path

import pytest

from machine.cli.main import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_possible_and_why_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("shop.txt").write_text("Paid\nShipped ?Paid\n")
    Path("script").write_text("why\npossible\n?Shipped\nwhy\n+Paid\npossible\n")
    assert main(["run", "shop.txt", "--script", "script"]) == 0
    out = capsys.readouterr().out.split("> ")
    assert out[1:3] == ["why\nnothing was rejected\n", "possible\nPaid\n"]
    assert out[4] == "why\nrelations: Shipped requires Paid\n"
    assert out[6] == "possible\nShipped\n"


def test_the_initial_states(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("lamp.txt").write_text("Off^ -On\nOn -Off\n")
    Path("script").write_text("+On\ninitial\ninspect Off\n")
    assert main(["run", "lamp.txt", "--script", "script"]) == 0
    out = capsys.readouterr().out.split("> ")
    assert out[2] == "initial\nOff\n"
    assert "|Initial  true" in out[3]
    Path("lamp.txt").write_text("Off -On\nOn -Off\n")
    assert main(["run", "lamp.txt", "--script", "script"]) == 0
    assert "> initial\nnothing\n" in capsys.readouterr().out
    Path("lamp.txt").write_text("Off^ -On\nOn^ -Off\n")
    assert main(["lint", "lamp.txt"]) == 2
    assert "cannot be active together" in capsys.readouterr().err


def test_questions_as_commands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("shop.txt").write_text("Cart^ -Shipped\nPaid\nShipped ?Paid -Cart\n")

    def asked(*words: str) -> tuple[int, str]:
        code = main(list(words))
        return code, capsys.readouterr().out

    assert asked("initial", "shop.txt") == (0, "Cart\n")
    assert asked("possible", "shop.txt") == (0, "Paid\n")
    assert asked("possible", "shop.txt", "--active", "Cart,Paid", "-o", "json") == (
        0,
        '["Shipped"]\n',
    )
    assert asked("why", "shop.txt", "+Shipped") == (1, "no: relations: Shipped requires Paid\n")
    assert asked("why", "shop.txt", "+Shipped", "--active", "Paid") == (0, "yes\n")
    code, text = asked("why", "shop.txt", "+Shipped", "-o", "json")
    assert (code, json.loads(text)) == (
        1,
        {
            "mutation": "+Shipped",
            "accepted": False,
            "rejected_by": "relations",
            "why": "Shipped requires Paid",
        },
    )
    assert asked("why", "shop.txt", "--active", "Paid", "--", "-Paid") == (0, "yes\n")


def test_questions_that_cannot_be_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("shop.txt").write_text("Cart^ -Shipped\nPaid\nShipped ?Paid -Cart\n")
    for words, text in [
        (["why", "shop.txt", "Shipped"], "'Shipped' is no mutation; ask like +Cart"),
        (["why", "shop.txt", "+Shippd"], "did you mean 'Shipped'"),
        (["possible", "shop.txt", "--active", "Cart,Shipped,Paid"], "cannot be active together"),
        (["possible", "shop.txt", "--active", "Kart"], "did you mean 'Cart'"),
    ]:
        assert main(words) == 2
        assert text in capsys.readouterr().err


STRICT = """
from machine import Machine, Options

class Strict(Machine, schema="A; B; Start^"):
    def __init__(self):
        super().__init__(options=Options(catch=False))

    def AEnter(self): raise OSError("cable")
    def BState(self): raise OSError("cable")
    def StartEnd(self): raise OSError("cable")

class Ends(Machine, schema="A"):
    def __init__(self):
        super().__init__()
        raise SystemExit(0)
"""


def test_handlers_that_raise_are_errors_and_no_tracebacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "strict.py").write_text(STRICT)
    (tmp_path / "lines").write_text("+A\n+B\npossible\nactive\n")
    monkeypatch.chdir(tmp_path)
    assert main(["why", "strict.py:Strict", "+A"]) == 2
    assert main(["possible", "strict.py:Strict"]) == 2
    assert main(["possible", "strict.py:Strict", "--active", "B"]) == 2
    assert capsys.readouterr().err.count("error: a handler raised OSError: cable") == 3
    assert main(["run", "strict.py:Strict", "--script", "lines"]) == 1
    assert capsys.readouterr().out.count("a handler raised OSError: cable") == 3
    assert main(["initial", "strict.py:Ends"]) == 2
    assert "cannot be made: SystemExit: 0" in capsys.readouterr().err
