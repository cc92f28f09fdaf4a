"""Modules with servers that cannot be imported: the user's own frames, and one line."""

from __future__ import annotations

from pathlib import Path

from tests.grid.cli.cli_kit import grid


def test_a_bug_in_the_app_keeps_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "buggy.py").write_text("def f():\n    return 1 / 0\nf()\n")
    (tmp_path / "broken.py").write_text("import grid.nothing_of_that_name\n")
    (tmp_path / "wrong.py").write_text("def f(:\n")
    (tmp_path / "deep.py").write_text("import broken\n")
    for name, error in (
        ("buggy", "ZeroDivisionError: division by zero"),
        ("broken", "ModuleNotFoundError: No module named 'grid.nothing_of_that_name'"),
        ("deep:peer", "ModuleNotFoundError: No module named 'grid.nothing_of_that_name'"),
        ("wrong", "SyntaxError: invalid syntax"),
    ):
        done = grid("serve", name, cwd=tmp_path)
        module = name.partition(":")[0]
        *shown, told, last = done.stderr.splitlines()
        assert (done.returncode, told, last) == (
            1,
            error,
            f"error: {module} cannot be imported, see above",
        )
        files = [line for line in shown if line.lstrip().startswith("File ")]
        assert files
        assert all(str(tmp_path) in one for one in files)  # the user's own frames
    (tmp_path / "lazy.py").write_text("def server():\n    raise KeyError('no key')\n")
    done = grid("serve", "lazy", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("KeyError: 'no key'\nerror: lazy has failed, see above\n")
    assert done.stderr.count("File ") == 1
    done = grid("serve", "buggy", cwd=tmp_path)
    assert done.returncode == 1
    assert 'buggy.py", line 2, in f' in done.stderr
    assert "ZeroDivisionError" in done.stderr
