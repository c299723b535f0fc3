"""The command line: exit codes, what is printed where, JSON forms, and every kind of bad input."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from netdsl.cli import files
from netdsl.cli.main import COMMANDS, main

GOOD = """\
# A small net.
block Unit(c) = conv(c, 3, bias=false) -> bn -> relu

net A(width=4, classes=10) {
  input image [3, H, W]
  Unit(width) -> maxpool(2) -> Unit(2 * width)
  head: gap -> linear(classes)
}

net B = A(classes=2)
"""

BAD = """\
net A {
  input image [3, 8, 8]
  conv(4, 3) -> rleu
}
"""

FIXED = "net Tiny {\n  input image [1, 6, 6]\n  conv(2, 3) -> relu -> flatten -> linear(3)\n}\n"


class Ran:
    """What a command printed and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.chdir(tmp_path)

    def call(*argv: object) -> Ran:
        code = main([str(a) for a in argv])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.net"
    path.write_text(GOOD)
    return path


def shell(*argv: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "netdsl", *map(str, argv)]
    return subprocess.run(command, capture_output="stdout" not in options, text=True, timeout=120, **options)


# Commands in general.


def test_overview_lists_every_command(run: Any) -> None:
    ran = run("--help")
    assert ran.code == 0
    assert all(f"  {name} " in ran.out for name in COMMANDS)
    assert run().code == 2
    assert run("--version").out.startswith("netdsl ")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(run: Any, command: str) -> None:
    ran = run(command, "--help")
    assert ran.code == 0
    assert "examples:" in ran.out
    assert f"netdsl {command}" in ran.out
    assert ran.out == run("help", command).out


def test_unknown_commands_and_options_are_usage_errors(run: Any, good: Path) -> None:
    ran = run("chekc", good)
    assert (ran.code, ran.out) == (2, "")
    assert "did you mean `check`" in ran.err
    assert run("check").code == 2
    assert run("check", good, "--nonsense").code == 2
    assert run("summary", good, "-p", "classes").code == 2
    assert run("summary", good, "--size", "H=0").code == 2
    assert run("summary", good, "--size", "H=x").code == 2
    assert run("compile", good, "--emit", "tensorflow").code == 2


@pytest.mark.parametrize("command", [["check"], ["summary"], ["fmt", "--check"], ["ops"], ["--help"]])
def test_no_heavy_library_is_imported(command: list[str], good: Path) -> None:
    argv = command + ([str(good)] if command[0] in ("check", "summary", "fmt") else [])
    code = f"import sys; from netdsl.cli.main import main; main({argv!r}); print('!', *sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stderr.rpartition("! ")[2].split())
    assert not loaded & {"torch", "onnx", "onnxruntime", "rich", "numpy", "lark", "dataclasses", "logging", "asyncio"}


def test_whole_process_is_cheap(good: Path) -> None:
    shell("check", good)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shell("check", good)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.25


# check


def test_check_counts_warnings_in_the_place_of_no_mistakes(run: Any, good: Path) -> None:
    text = "net A {\n  input x [3, 8, 8]\n  conv(4, 3) -> bn -> gap\n}\n"
    warned, wrong = good.with_name("warned.net"), good.with_name("wrong.net")
    warned.write_text(text)
    wrong.write_text(text.replace("gap", "gaap"))
    assert run("check", warned).out.endswith(f"{warned}: 1 net, 1 warning\n")
    assert run("check", warned, good).out.endswith("2 files: 3 nets, 1 warning\n")
    assert run("check", warned, wrong).out.endswith("2 files: 1 mistake, 1 warning\n")
    assert run("check", warned, "--deny", "warnings").code == 1


def test_check_says_that_all_is_well(run: Any, good: Path) -> None:
    ran = run("check", good)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"{good}: 2 nets, no mistakes\n"


def test_check_shows_the_mistake_and_where(run: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.net").write_text(BAD)
    ran = run("check", "bad.net")
    assert ran.code == 1
    assert "error[unknown-name]" in ran.out
    assert "bad.net:3:17" in ran.out
    assert "3 |   conv(4, 3) -> rleu\n" in ran.out
    assert "did you mean `relu`" in ran.out
    assert ran.out.endswith("bad.net: 1 mistake\n")
    assert "\x1b" not in ran.out


def test_check_goes_through_folders_and_all_files(run: Any, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "good.net").write_text(GOOD)
    (tmp_path / "a" / "b" / "bad.net").write_text(BAD)
    (tmp_path / "a" / ".hidden").mkdir()
    (tmp_path / "a" / ".hidden" / "bad.net").write_text(BAD)
    ran = run("check", "a", "--json")
    assert ran.code == 1
    assert ran.json["errors"] == 1
    assert [f["file"] for f in ran.json["files"]] == ["a/b/bad.net", "a/good.net"]
    assert ran.json["files"][1]["nets"] == ["A", "B"]


def test_check_json_has_places(run: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.net").write_text(BAD)
    (found,) = run("check", "bad.net", "--json").json["files"][0]["diagnostics"]
    assert found["code"] == "unknown-name"
    assert (found["file"], found["line"], found["column"]) == ("bad.net", 3, 17)
    assert (found["end_line"], found["end_column"]) == (3, 21)
    assert list(found) == [
        "severity", "code", "message", "file", "line", "column", "end_line", "end_column", "label", "path",
        "labels", "notes", "hints",
    ]  # fmt: skip


def test_a_mistake_in_an_imported_file_is_reported_once(run: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.net").write_text(
        "block Bad(c) { conv(c, 3) -> rleu }\nnet N {\n  input x [3, 8, 8]\n  Bad(4)\n}\n"
    )
    for name in ("one", "two"):
        (tmp_path / f"{name}.net").write_text(
            f"from bad import Bad\n\nnet {name} {{\n  input x [3, 8, 8]\n  Bad(4)\n}}\n"
        )
    assert run("check", ".", "--json").json["errors"] == 1


def test_check_with_arguments(run: Any, good: Path) -> None:
    assert run("check", f"{good}:A", "-p", "width=8", "--size", "H=32").code == 0
    ran = run("check", f"{good}:A", "-p", "width=0")
    assert ran.code == 1
    ran = run("check", f"{good}:A", "-p", "wdith=8")
    assert ran.code == 1
    assert "did you mean `width`" in ran.out
    assert run("check", f"{good}:C").code == 1


# Bad input, everywhere.


BAD_FILES = {
    "empty.net": (b"", 1),
    "comment.net": (b"# only a comment\n", 1),
    "junk.net": (bytes(range(256)) * 8, 1),
    "latin.net": (b"net A {\n  input image [3, 8, 8]  # caf\xe9\n}\n", 1),
    "truncated.net": (b"net A {\n  input image [3, 8", 1),
    "loop.net": (b"block F(c) { conv(c, 3) -> F(c) }\nnet A {\n  input x [3, 8, 8]\n  F(4)\n}\n", 1),
    "power.net": (b"N = 9**9**9\nnet A {\n  input x [3, 8, 8]\n  conv(N, 3)\n}\n", 1),
    "billion.net": (b"net A {\n  input x [3, 8, 8]\n  repeat 1_000_000_000 { conv(4, 3) }\n}\n", 1),
    "cycle.net": (b"from cycle import A\n\nnet B = A()\n", 1),
    "climb.net": (b"from ...etc.passwd import A\n\nnet B = A()\n", 1),
    "nested.net": (b"X = " + b"[" * 5000 + b"]" * 5000 + b"\n", 1),
    "escape.net": (b"net \x1b[31mA {\n}\n", 1),
}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("command", [["check"], ["summary"], ["compile", "-o", "out"], ["fmt", "--check"]])
def test_bad_specs_give_a_diagnostic(run: Any, tmp_path: Path, name: str, command: list[str]) -> None:
    content, code = BAD_FILES[name]
    (tmp_path / name).write_bytes(content)
    ran = run(*command, name)
    said = ran.out + ran.err
    if command[0] == "fmt":
        assert ran.code in (0, 1)
    else:
        assert ran.code == code, said
        assert "error" in said
    assert "Traceback" not in said
    assert "internal error" not in said
    assert "\x1b" not in said
    assert len(said) < 4000
    assert (tmp_path / name).read_bytes() == content
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["check", "summary", "compile", "verify", "fmt", "train"])
def test_files_that_cannot_be_read_are_input_errors(run: Any, tmp_path: Path, command: str) -> None:
    (tmp_path / "folder").mkdir()
    for path in ("missing.net", "folder"):
        ran = run(command, path)
        assert ran.code == 2, (command, path, ran.err)
        assert "Traceback" not in ran.err
        assert path in ran.err + ran.out


def test_a_missing_file_hints_at_its_neighbours(run: Any, good: Path) -> None:
    assert "good.net" in run("summary", "godo.net").err


# summary


def test_summary_json_and_markdown(run: Any, good: Path) -> None:
    data = run("summary", f"{good}:B", "--size", "H=16", "--size", "W=16", "--json").json
    assert data["net"] == "B"
    assert data["params"] == 3 * 4 * 9 + 8 + 4 * 8 * 9 + 16 + 8 * 2 + 2
    assert data["macs"] == 3 * 4 * 9 * 256 + 4 * 8 * 9 * 64 + 16
    assert data["outputs"][0]["shape"] == [2]
    assert run("summary", good, "--markdown").out.startswith("## A\n")
    assert run("summary", good, "--markdown", "--json").code == 2


def test_summary_takes_arguments_and_sizes(run: Any, good: Path) -> None:
    assert run("summary", f"{good}:A", "-p", "classes=7", "--json").json["outputs"][0]["shape"] == [7]
    assert run("summary", good, "--json").json["inputs"][0]["shape"] == [3, "H", "W"]


def test_sizes_that_the_net_has_not_are_refused(run: Any, good: Path) -> None:
    ran = run("summary", good, "--size", "h=32")
    assert ran.code == 1
    assert "error[unknown-size]" in ran.err
    assert "did you mean `H`" in ran.err
    assert "`-p width=...`" in run("summary", good, "--size", "width=3").err


def test_without_a_name_the_net_is_the_first_that_the_arguments_suffice_for(run: Any, tmp_path: Path) -> None:
    text = GOOD.replace("classes=10", "classes").replace("net B", "net C = A(classes=3)\n\nnet B")
    (tmp_path / "a.net").write_text(text)
    assert run("summary", "a.net", "--json").json["net"] == "C"
    assert run("summary", "a.net", "-p", "width=8", "--json").json["net"] == "C"
    assert run("summary", "a.net", "-p", "classes=8", "--json").json["net"] == "A"


def test_summary_of_an_unknown_net(run: Any, good: Path) -> None:
    ran = run("summary", f"{good}:Aa")
    assert ran.code == 1
    assert "`Aa`" in ran.err


# ops


def test_ops_lists_and_explains(run: Any) -> None:
    listed = run("ops").out
    assert "  conv " in listed
    page = run("ops", "conv")
    assert page.code == 0
    assert "conv(out_channels, kernel_size, stride=1, padding=same" in page.out
    assert "gives  [6, 8, 9]" in page.out
    assert "Parts and taps" in run("ops", "taps").err


def test_ops_json_covers_the_registry(run: Any) -> None:
    from netdsl.ops import REGISTRY

    assert {p["name"] for p in run("ops", "--json").json} == set(REGISTRY)
    page = run("ops", "linear", "--json").json
    assert page["arguments"][0] == {"name": "out_features", "type": "int >= 1", "default": None}
    assert all(e["outputs"] for e in page["examples"])


def test_every_op_has_a_page_whose_examples_work() -> None:
    from netdsl.ops import REGISTRY
    from netdsl.render.reference import page

    broken = {n: e for n in REGISTRY for e in page(n).examples if not e[2]}
    assert not broken


def test_unknown_op(run: Any) -> None:
    ran = run("ops", "covn")
    assert ran.code == 2
    assert "did you mean `conv`" in ran.err


# fmt


def test_fmt_and_fixes_leave_the_specs_of_runs_as_they_are(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "net A {\n  input x [3]\n  Linear(3,   4)->relu\n}\n"
    for name in ("a.net", "runs/A/spec.net", "runs/A/part.net"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "runs/A/run.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert run("fmt").code == 0
    assert run("check", "--fix", ".").code == 0
    assert "linear(4) -> relu" in (tmp_path / "a.net").read_text()
    assert (tmp_path / "runs/A/spec.net").read_text() == (tmp_path / "runs/A/part.net").read_text() == text
    assert run("fmt", "runs/A/part.net").code == 0  # named, it is meant
    assert (tmp_path / "runs/A/part.net").read_text() != text


def test_fmt_writes_checks_and_shows(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    path.write_text("net  A{\n  input x [3,8,8]\n  conv( 4,3 )->relu  # why\n}\n")
    assert run("fmt", "--check", path).code == 1
    assert run("fmt", "--diff", path).out.startswith("--- ")
    ran = run("fmt", path)
    assert ran.code == 0
    assert path.read_text() == "net A {\n  input x [3, 8, 8]\n  conv(4, 3) -> relu  # why\n}\n"
    assert run("fmt", "--check", path).code == 0


def test_fmt_keeps_the_ends_of_lines(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    path.write_bytes(b"X=1\r\nY=2\r\n")
    assert run("fmt", path).code == 0
    assert path.read_bytes() == b"X = 1\r\nY = 2\r\n"
    assert run("fmt", "--check", path).code == 0


def test_fmt_of_the_standard_input() -> None:
    done = shell("fmt", "-", input="X=1\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "X = 1\n", "")


def test_fmt_leaves_a_wrong_file_and_goes_on(run: Any, tmp_path: Path) -> None:
    (tmp_path / "a.net").write_text("net A {")
    (tmp_path / "b.net").write_text("X=1\n")
    ran = run("fmt", "a.net", "b.net")
    assert ran.code == 1
    assert (tmp_path / "a.net").read_text() == "net A {"
    assert (tmp_path / "b.net").read_text() == "X = 1\n"


def test_fmt_keeps_links_and_permissions(run: Any, tmp_path: Path) -> None:
    target, link = tmp_path / "a.net", tmp_path / "b.net"
    target.write_text("X=1\n")
    target.chmod(0o640)
    link.symlink_to(target)
    assert run("fmt", link).code == 0
    assert link.is_symlink()
    assert target.read_text() == "X = 1\n"
    assert target.stat().st_mode & 0o777 == 0o640


# compile, verify


def test_compile_torch_needs_no_torch(good: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from netdsl.cli.main import main;"
        f"assert main(['compile', {str(good)!r}, '-o', 'out', '--emit', 'torch,ir,summary']) == 0;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
    assert sorted(os.listdir(tmp_path / "out")) == ["model.ir", "model.py", "summary.json"]
    assert "class A(nn.Module)" in (tmp_path / "out" / "model.py").read_text()
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["net"] == "A"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "tiny.net").write_text(FIXED)
    argv = ["compile", str(folder / "tiny.net"), "-o", str(folder / "out"), "--emit", "torch,onnx,weights"]
    assert main(argv) == 0
    return folder / "out"


def test_compile_says_what_it_wrote(run: Any, tmp_path: Path) -> None:
    (tmp_path / "tiny.net").write_text(FIXED)
    ran = run("compile", "tiny.net", "-o", "out")
    assert ran.code == 0
    assert "Tiny, 239 parameters" in ran.out
    assert "verified in 14 cases" in ran.out
    assert sorted(os.listdir("out")) == ["model.onnx", "model.py"]
    data = run("compile", "tiny.net", "-o", "again", "--json").json
    assert data["params"] == 239
    assert data["verified"]["cases"] == 14
    assert {os.path.basename(f["path"]): f["bytes"] for f in data["files"]} == {
        name: os.path.getsize(f"out/{name}") for name in ("model.onnx", "model.py")
    }


def test_compile_with_weights(run: Any, compiled: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.net").write_text(FIXED)
    weights = compiled / "model.safetensors"
    ran = run("compile", "tiny.net", "-o", "out", "--weights", weights, "--seed", 5)
    assert ran.code == 0, ran.err
    assert (tmp_path / "out" / "model.onnx").read_bytes() == (compiled / "model.onnx").read_bytes()
    (tmp_path / "other.net").write_text(FIXED.replace("linear(3)", "linear(4)"))
    ran = run("compile", "other.net", "-o", "other", "--weights", weights)
    assert ran.code == 1
    assert not os.path.exists("other")
    (tmp_path / "model.pth").write_bytes(b"\x80\x02}q\x00.")
    ran = run("compile", "tiny.net", "--weights", "model.pth")
    assert ran.code == 2
    assert "safetensors" in ran.err


def test_a_file_that_fails_its_verification_is_not_left(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netdsl.ops import REGISTRY

    monkeypatch.setattr(REGISTRY["relu"], "onnx", lambda self, g, *x: g.op("Sigmoid", x[0].name))
    (tmp_path / "tiny.net").write_text(FIXED)
    ran = run("compile", "tiny.net", "-o", "out")
    assert ran.code == 1
    assert "disagree" in ran.err
    assert not os.path.exists("out")
    assert run("verify", "tiny.net").code == 1


def test_verify_a_spec_and_a_file(run: Any, compiled: Path) -> None:
    ran = run("verify", compiled / "model.onnx", "--json")
    assert ran.code == 0
    assert ran.json["ok"]
    assert {c["weights"] for c in ran.json["cases"]} == {"stress", "real"}
    assert all(c["difference"] <= 1e-5 for c in ran.json["cases"])
    ran = run("verify", compiled / "model.onnx")
    assert "all 14 cases agree" in ran.out
    assert run("verify", compiled.parent / "tiny.net", "--gate", "1e-30").code == 1


def test_verify_refuses_other_weights_and_no_onnx(run: Any, compiled: Path, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(str(compiled / "model.onnx"))
    tampered = tmp_path / "model.onnx"
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor) * 1.01
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype("float32"), tensor.name))
    onnx.save(model, str(tampered))
    ran = run("verify", tampered, "--weights", compiled / "model.safetensors")
    assert ran.code == 1
    (tmp_path / "junk.onnx").write_bytes(b"\x00\x01junk")
    assert run("verify", "junk.onnx").code == 1
    assert run("verify", "missing.onnx").code == 2


# The disk and the terminal.


def test_output_into_a_file_or_a_closed_folder(run: Any, good: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    ran = run("compile", good, "-o", "taken", "--emit", "torch")
    assert ran.code == 2
    assert (tmp_path / "taken").read_text() == "mine"
    ran = run("compile", good, "-o", "taken/out", "--emit", "torch")
    assert ran.code == 2
    if os.geteuid():
        (tmp_path / "closed").mkdir(mode=0o500)
        ran = run("compile", good, "-o", "closed/out", "--emit", "torch")
        assert ran.code == 2
        assert "Permission denied" in ran.err


def limit_files() -> None:
    """No file may grow beyond 256 bytes, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256, 256))


def test_a_full_disk_leaves_nothing_half_written(good: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.py").write_text("before")
    done = shell("compile", good, "-o", tmp_path / "out", "--emit", "torch", preexec_fn=limit_files)
    assert done.returncode == 2
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path / "out") == ["model.py"]
    assert (tmp_path / "out" / "model.py").read_text() == "before"


def test_a_full_disk_under_fmt_keeps_the_file(tmp_path: Path) -> None:
    text = "".join(f"X{i}={i}\n" for i in range(200))
    (tmp_path / "a.net").write_text(text)
    done = shell("fmt", tmp_path / "a.net", preexec_fn=limit_files)
    assert done.returncode == 2
    assert (tmp_path / "a.net").read_text() == text
    assert os.listdir(tmp_path) == ["a.net"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_to_a_full_device(good: Path) -> None:
    with open("/dev/full", "w") as full:
        done = shell("summary", good, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_reader_that_leaves(good: Path) -> None:
    command = f"{sys.executable} -m netdsl ops --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def test_interrupting_is_quiet(run: Any, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("netdsl.cli.summary.open_net", interrupt)
    ran = run("summary", good)
    assert (ran.code, ran.out, ran.err) == (130, "", "interrupted\n")


def test_a_defect_of_ours_says_so(run: Any, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError("by us")

    monkeypatch.setattr("netdsl.cli.summary.open_net", broken)
    ran = run("summary", good)
    assert ran.code == 70
    assert ran.err.startswith("internal error: ZeroDivisionError: by us\n")
    monkeypatch.setenv("NETDSL_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        run("summary", good)


def test_narrow_encodings_and_odd_names(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"odd\xff.net")
    path.write_text(BAD)
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for command in ("check", "summary"):
        done = subprocess.run([sys.executable, "-m", "netdsl", command, path], capture_output=True, env=env, timeout=60)
        assert done.returncode == 1
        assert b"Traceback" not in done.stderr


def test_colours_only_on_request(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.net").write_text(BAD)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[1;31m" in run("check", "bad.net").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("check", "bad.net").out


def test_writes_are_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("before")

    def fail() -> None:
        with files.replacing(str(path)) as temporary:
            Path(temporary).write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["a"]
    assert files.write(str(path), "after") == 5
    assert path.read_text() == "after"


FIXABLE = "net N {\n  input image [3, 8, 8]\n  cnv(4, 3) -> relu\n}\n"


def test_check_fix_mends_the_file(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    path.write_text(FIXABLE)
    assert "(`--fix` does it)" in run("check", path).out
    result = run("check", path, "--fix")
    assert result.code == 0
    assert "fixed 1 mistake" in result.out
    assert path.read_text() == FIXABLE.replace("cnv", "conv")


def test_check_for_other_programs(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    path.write_text(FIXABLE)
    line = run("check", path, "--format", "github").out
    assert line.startswith(f"::error file={path},line=3,endLine=3,col=3,endColumn=6,title=unknown-name::")
    log = json.loads(run("check", path, "--format", "sarif").out)
    (result,) = log["runs"][0]["results"]
    assert result["ruleId"] == "unknown-name"
    (change,) = result["fixes"][0]["artifactChanges"][0]["replacements"]
    assert change["insertedContent"] == {"text": "conv"}
    assert change["deletedRegion"]["startColumn"] == 3
    assert run("check", path, "--format", "json").out == run("check", path, "--json").out


def test_files_in_a_log_are_uris_whatever_they_are_called(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "a b%"
    folder.mkdir()
    path = folder / "\u00e9,x:1.net"
    path.write_text(FIXABLE)

    def uri(name: Path | str) -> str:
        (result,) = json.loads(run("check", name, "--format", "sarif").out)["runs"][0]["results"]
        assert result["message"]["text"].endswith("hint: did you mean `conv`?")
        found: str = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert found == result["fixes"][0]["artifactChanges"][0]["artifactLocation"]["uri"]
        return found

    assert uri(path) == path.as_uri()
    os.chdir(folder)
    assert uri(path.name) == "%C3%A9%2Cx%3A1.net"


def test_explain(run: Any) -> None:
    assert "shape-mismatch" in run("explain").out
    shown = run("explain", "indivisible").out
    assert "Wrong:" in shown
    assert "groups=4" in shown
    assert "did you mean" in run("explain", "indivisble").err
