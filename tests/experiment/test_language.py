"""Experiments in the language: what is read, what is refused and where, how it is formatted."""

from __future__ import annotations

from random import Random

import pytest
from paths import ROOT

from netdsl.diagnostics.codes.experiments import NET
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.planning.experiment_entries import read_experiment
from netdsl.planning.experiments import Experiment, least_p, pairs_needed
from netdsl.source import Source
from netdsl.syntax import ast
from netdsl.syntax.format import format_source


def spec(entries: str, head: str = "experiment E for Example", net: str = NET) -> Spec:
    return Spec(Source(f"{net}\n{head} {{\n{entries}\n}}\n", "e.net"), read_import)


def experiment(entries: str) -> Experiment:
    module = spec(entries).module
    (node,) = module.declared(ast.Experiment)
    assert isinstance(node, ast.Experiment)
    read = read_experiment(module, node, spec(entries).elaborator.evaluator)
    assert read.experiment is not None, read.diagnostics
    return read.experiment


def mistakes(entries: str, net: str = NET) -> list[tuple[str, str]]:
    """The code of each mistake and the text that it points at."""
    return [(d.code, d.at.text if d.at else "") for d in spec(entries, net=net).diagnostics]


def test_an_experiment_as_a_value() -> None:
    made = experiment("""
      vary width = [8, 16]
      vary optimizer.lr = [1e-3, 1e-2]
      vary depth = range(1, 4)
      seeds = 2
      measure = [test.top1, params]
      compare test.top1 against width = 8
      plot line(x=depth, y=train.loss, color=width)
    """)
    assert (made.net, made.recipe, made.seeds, made.size) == ("Example", "Short", 2, 12)
    assert [(f.path, f.of, f.values) for f in made.factors] == [
        ("width", "net", ("8", "16")),
        ("optimizer.lr", "recipe", ("1e-3", "1e-2")),
        ("depth", "net", ("1", "2", "3")),
    ]
    cells = list(made.cells())
    assert cells[1].label == "width = 8, optimizer.lr = 1e-3, depth = 2"
    assert (cells[1].net, cells[1].recipe) == ({"width": "8", "depth": "2"}, {"optimizer.lr": "1e-3"})
    assert made.wanted() == ("test.top1", "params", "train.loss")
    assert made.tests(made.comparisons[0]) == 6


def test_components_and_constants_as_values() -> None:
    made = experiment("vary optimizer = [sgd(0.1, momentum=0.9), adamw(1e-3)]\nmeasure = [test.top1]")
    assert made.factors[0].values == ("sgd(0.1, momentum=0.9)", "adamw(1e-3)")
    made = experiment("vary width = [2**k for k in range(3, 5)]\nmeasure = [test.top1]")
    assert made.factors[0].values == ("8", "16")


def test_ranges_are_whole_where_both_ends_are() -> None:
    made = experiment(
        "vary width = log(4, 64)\nvary optimizer.lr = uniform(0, 0.5)\nsearch = random(5)\nmeasure=[test.top1]"
    )
    ranges = [f.range for f in made.factors if f.range]
    assert [(r.low, r.high, r.log, r.whole) for r in ranges] == [(4, 64, True, True), (0, 0.5, False, False)]


@pytest.mark.parametrize(
    ("entries", "code", "at"),
    [
        ("vary widht = [1]\nmeasure = [params]", "unknown-path", "widht"),
        ("vary seed = [1]\nmeasure = [params]", "unknown-path", "seed"),
        ("vary width = []\nmeasure = [params]", "empty-grid", "[]"),
        ("vary width = 8\nmeasure = [params]", "bad-value", "8"),
        ("vary width = [8, 8]\nmeasure = [params]", "bad-value", "8"),
        ("vary width = [8]\nvary width = [4]\nmeasure = [params]", "duplicate-field", "width"),
        ("vary width = log(1, 8)\nmeasure = [params]", "field-value", "width"),
        ("vary width = log(0, 8)\nsearch = random(3)\nmeasure = [test.top1]", "bad-value", "log(0, 8)"),
        ("search = random(3)\nmeasure = [test.top1]", "empty-grid", "E"),
        ("search = rando(3)\nvary width = [1]\nmeasure = [test.top1]", "unknown-word", "rando(3)"),
        ("search = tpe(3, prun=median)\nvary width = [1]\nmeasure = [test.top1]", "unknown-argument", "prun=median"),
        ("search = tpe(3, prune=mean)\nvary width = [1]\nmeasure = [test.top1]", "unknown-word", "prune=mean"),
        ("seeds = 0\nmeasure = [params]", "bad-value", "0"),
        ("seeds = true\nmeasure = [params]", "bad-value", "true"),
        ("recipe = Shrt\nmeasure = [params]", "unknown-recipe", "Shrt"),
        ("epochs = 3\nmeasure = [params]", "unknown-field", "epochs"),
        ("seeds = 2\nseeds = 3\nmeasure = [params]", "duplicate-field", "seeds"),
        ("vary width = [8]", "missing-argument", "E"),
        ("measure = []", "missing-argument", "measure = []"),
        ("measure = [top1]", "unknown-measure", "top1"),
        ("measure = [test.f1]", "unknown-measure", "test.f1"),
        ("measure = [validation.top1]", "unknown-measure", "validation.top1"),
        ("vary width = [1, 2]\nmeasure = [params]\ncompare params against depth = 1", "unknown-path", "depth"),
        ("vary width = [1, 2]\nmeasure = [params]\ncompare params against width = 3", "bad-value", "3"),
        ("vary width = [1]\nmeasure = [params]\ncompare params against width = 1", "bad-value", "width"),
        ("measure = [params]\nplot lines(x=params, y=params)", "unknown-word", "lines"),
        ("measure = [params]\nplot line(x=width, y=params)", "unknown-path", "width"),
        ("measure = [params]\nplot line(x=macs)", "missing-argument", "plot line(x=macs)"),
        ("measure = [params]\nplot line(x=macs, y=params, hue=macs)", "unknown-argument", "hue"),
        ("measure = [params]\nplot line(x=macs, y=params, yscale=lgo)", "unknown-word", "lgo"),
        (
            "vary width = [1, 2]\nmeasure = [params]\nplot line(x=width, y=params) where width = 1",
            "argument-conflict",
            "width",
        ),
        ("vary width = [1, 2]\nmeasure = [params]\nplot line(x=macs, y=params) where width = 3", "bad-value", "3"),
        ("vary width = [1, 2]\nmeasure = [params]\nplot line(x=macs, y=params) where wdth = 1", "unknown-path", "wdth"),
        (
            "vary width = [1, 2]\nmeasure = [params]\nplot line(x=macs, y=params) where width = 1, width = 2",
            "duplicate-argument",
            "width",
        ),
        ("vary width = [1, 2]\nsearch = random(3)\nmeasure = [params, test.top1]", "bad-value", "params"),
        ("vary validation = [0, 0.2]\nmeasure = [validation.top1]", "unknown-measure", "validation.top1"),
        ("vary width = [4, 0]\nmeasure = [params]", "unfit-cell", "0"),
        ("vary optimizer.lr = [0.1, nothing]\nmeasure = [params]", "unfit-cell", "nothing"),
    ],
)
def test_mistakes(entries: str, code: str, at: str) -> None:
    assert mistakes(entries) == [(code, at)]


def test_a_measure_that_some_cells_do_not_have() -> None:
    (found,) = spec("vary validation = [0.2, 0]\nmeasure = [validation.top1]").diagnostics
    assert found.message == "the recipe holds nothing out for validation with `validation = 0`"
    assert spec("vary validation = [0.2, 0.1]\nmeasure = [validation.top1]").diagnostics == ()


def test_a_path_that_is_both() -> None:
    net = NET.replace("width", "batch")
    assert ("ambiguous-path", "batch") in mistakes("vary batch = [8]\nmeasure = [params]", net)


def test_a_grid_that_is_too_large_is_refused_at_once() -> None:
    entries = "vary width = range(1, 5000)\nvary depth = range(1, 5000)\nmeasure = [params]"
    assert mistakes(entries) == [("too-large", "E")]


def test_cells_that_do_not_check_are_named() -> None:
    net = NET.replace("  flatten\n", '  require width * depth < 40, "too wide for its depth"\n  flatten\n')
    (found,) = spec("vary width = [8, 16, 32]\nvary depth = [1, 2, 4]\nmeasure = [params]", net=net).diagnostics
    assert found.message == "3 of 9 cells do not check"
    assert found.notes[0] == "width = 16, depth = 4: too wide for its depth"


def test_every_path_that_is_no_field_is_told_at_its_place() -> None:
    entries = "vary optimizer.lrr = [0.1, 0.2]\nvary width = [8, 16]\nvary batch.foo = [1, 2]\nmeasure = [params]"
    found = spec(entries).diagnostics
    assert [(d.code, d.at.text if d.at else "") for d in found] == [
        ("unknown-field", "optimizer.lrr"),
        ("unknown-field", "batch.foo"),
    ]
    assert found[0].message == "`optimizer.lrr` names no field of this recipe"
    assert "did you mean `optimizer.lr`?" in found[0].hints[0].message
    searched = "vary optimizer.lrr = log(1e-3, 1e-1)\nsearch = random(3)\nmeasure = [test.loss]"
    assert mistakes(searched) == [("unknown-field", "optimizer.lrr")]


EVERY = {
    "vary widht = [8, 16]": ("unknown-path", "widht"),
    'vary width = [8, "wide"]': ("unfit-cell", '"wide"'),
    "vary depth = [1, 2.5]": ("unfit-cell", "2.5"),
    "vary depth = [-1, 2]": ("unfit-cell", "-1"),
    "vary optimizer.rate = [1e-3, 1e-2]": ("unknown-field", "optimizer.rate"),
    "vary optimizer = [sgd(0.1), adamw(-1)]": ("unfit-cell", "adamw(-1)"),
    "vary batch = [16, -3]": ("unfit-cell", "-3"),
    "vary loss = [cross_entropie, mse]": ("unfit-cell", "cross_entropie"),
    "vary epochs = [1, 1]": ("bad-value", "1"),
    "vary seed = [1, 2]": ("unknown-path", "seed"),
}


@pytest.mark.parametrize("seed", range(12))
def test_a_mistake_in_what_varies_hides_none_of_another(seed: int) -> None:
    """Whatever stands beside it: what a pass over the entries finds, the net's arguments, every field of the recipe."""
    every = Random(seed).sample(list(EVERY), 5)
    paths: dict[str, str] = {entry.split()[1]: entry for entry in every}
    told = mistakes("\n".join(["recipe = Short", *paths.values(), "measure = [test.top1]"]))
    assert sorted(told) == sorted(EVERY[entry] for entry in paths.values())


def test_a_cell_that_does_not_check_is_told_beside_mistaken_values() -> None:
    net = NET.replace("linear(width)", "linear(width - 6 * depth)")
    told = mistakes("vary width = [8, 40]\n vary depth = [1, 2]\n vary batch = [0, 4]\n measure = [params]", net)
    assert sorted(told) == [("unfit-cell", "0"), ("unfit-cell", "E")]


def test_a_mistake_of_the_net_itself_is_told_there_alone() -> None:
    net = NET.replace("linear(width)", "linear(width, 3, 4)")
    found = spec("vary width = [8, 16, 32]\nvary depth = [1, 2, 4]\nmeasure = [params]", net=net).diagnostics
    assert [d.code for d in found] == ["too-many-arguments"]


def test_one_mistake_of_all_cells_is_told_once() -> None:
    net = NET.replace("  flatten\n", '  require depth < 3, "too deep"\n  flatten\n')
    (found,) = spec("vary depth = [4, 5]\nvary width = [8, 16]\nmeasure = [params]", net=net).diagnostics
    assert (found.code, found.message) == ("unfit-cell", "no cell checks: too deep")


def test_a_net_of_no_name_and_a_recipe_that_names_one() -> None:
    assert spec("measure = [params]", head="experiment E").diagnostics == ()
    (found,) = spec("measure = [params]", head="experiment E for Exmple").diagnostics
    assert (found.code, found.hint) == ("unknown-net", "did you mean `Example`?")


@pytest.mark.parametrize(("pairs", "p"), [(1, 1.0), (5, 0.0625), (6, 0.03125)])
def test_the_smallest_p(pairs: int, p: float) -> None:
    assert least_p(pairs) == p


@pytest.mark.parametrize(("tests", "pairs"), [(1, 6), (2, 7), (4, 8), (6, 8), (7, 9)])
def test_how_many_pairs_are_needed(tests: int, pairs: int) -> None:
    assert pairs_needed(tests) == pairs
    assert least_p(pairs) * tests < 0.05 <= least_p(pairs - 1) * tests


def test_a_comparison_with_too_few_pairs() -> None:
    entries = "vary width = [4, 8]\nseeds = 5\nmeasure = [test.top1]\ncompare test.top1 against width = 4"
    (found,) = spec(entries).diagnostics
    assert (found.severity, found.message) == ("warning", "5 pairs can't reach p < 0.05; 6 can")
    assert spec(entries.replace("5", "6")).diagnostics == ()


def test_cells_that_do_not_fit_into_memory_are_said_in_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    from netdsl import open_spec
    from netdsl.experiment import text as plan

    made = spec("vary width = [8, 16]\nseeds = 2\nmeasure = [test.top1]").source
    monkeypatch.setattr(plan, "cores", lambda: 2)
    most = max(c.memory or 0 for c in open_spec(made).experiment().cells)
    for free, expected in ((10 * most, ""), (most - 1, "1 cell will not fit"), (most, "`--workers 1` fits")):
        monkeypatch.setattr(plan, "available", lambda free=free: free)
        said = str(open_spec(made).experiment())
        assert expected in said
        assert ("memory" in said) == bool(expected)


def test_the_time_of_small_runs_is_that_of_their_steps() -> None:
    """Runs of the course took so many seconds of a busy processor, without the start of Python."""
    from netdsl import open_spec
    from netdsl.experiment.planned import planned

    measured = {"24-adamw/decay.net": ("Decay", 17.6), "31-elbows/elbows.net": ("Curves", 22.1)}
    for path, (name, seconds) in measured.items():
        setting = open_spec(ROOT / "course" / path).experiment(name).setting
        cells = [planned(setting, cell, speed=1e10) for cell in setting.experiment.cells()]
        found = sum((c.seconds or 0) * len(c.trials) for c in cells)
        assert seconds / 2 < found < seconds * 1.5


def test_words_of_experiments_stay_free_as_names() -> None:
    text = "experiment = 3\n\nnet N(vary=2, measure=4, compare=1, plot=2) {\n  input x [experiment]\n"
    text += "  against = vary * measure + compare + plot\n  linear(against)\n}\n"
    assert Spec(Source(text, "n.net"), read_import).diagnostics == ()


def test_the_format() -> None:
    text = NET + "# Doc.\nexperiment  E for Example {\n recipe=Short\n vary width=[ 8,16 ] # two\n"
    text += " vary optimizer.lr=log(1e-4,.1)\n"
    text += " search = tpe( 60,prune = hyperband )\n seeds=3\n measure=[test.top1,params]\n"
    text += " plot line( x=width,y=test.top1, title='a b' )\n"
    text += " plot line(x=width,y=test.top1)  where optimizer.lr=.1 ,epochs=2\n}\n"
    made, diagnostics = format_source(Source(text))
    assert not diagnostics
    assert made is not None
    assert made.partition("# Doc.\n")[2] == (
        "experiment E for Example {\n"
        "  recipe = Short\n"
        "  vary width        = [8, 16]  # two\n"
        "  vary optimizer.lr = log(1e-4, .1)\n"
        "  search  = tpe(60, prune=hyperband)\n"
        "  seeds   = 3\n"
        "  measure = [test.top1, params]\n"
        '  plot line(x=width, y=test.top1, title="a b")\n'
        "  plot line(x=width, y=test.top1) where optimizer.lr = .1, epochs = 2\n"
        "}\n"
    )
