"""Ctrl-C while a command starts: it ends the command wherever in the imports it comes."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.grid.cli.cli_kit import ROOT

# Ctrl-C as the command imports grpc, in a place of one's choice.
PROGRAM = """
import signal, sys, weakref
from grid.cli import main

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "grpc":
            sys.meta_path.remove(self)
            {place}

def interrupt(_=None):
    signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
main()
"""
CONNECTION = ("--etcd", "127.0.0.1:1", "--timeout", "20")
PLACES = {
    "plain": "interrupt()",
    "collector": "thing = type(self)(); ref = weakref.ref(thing, interrupt); del thing",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("pools", "--watch"), 0),  # its usual end
        (("peers", "-w"), 0),
        (("peers",), 128 + signal.SIGINT),
        (("pools",), 128 + signal.SIGINT),
    ],
)
def test_ctrl_c_during_the_imports(place: str, words: tuple[str, ...], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(place=PLACES[place]), *words, *CONNECTION],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
