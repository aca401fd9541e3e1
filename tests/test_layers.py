"""Imports point one way, and importing the package stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Each module may import, at its top, only what stands in its own line or above.
LAYERS = [
    ["blackbox.errors"],
    ["blackbox._arguments", "blackbox._exclusive"],
    ["blackbox.random", "blackbox.objective", "blackbox.parameters", "blackbox.candidates"],
    ["blackbox._conditions", "blackbox._unit_cube", "blackbox.space_json", "blackbox.roles", "blackbox._points"],
    ["blackbox.space"],
    ["blackbox.state", "blackbox.reduction", "blackbox.genome", "blackbox.ledger", "blackbox.metrics"],
    [
        "blackbox.algorithm",
        "blackbox.problem",
        "blackbox.outcomes",
        "blackbox.traces",
        "blackbox.incumbent",
        "blackbox._known_extras",
    ],
    ["blackbox.tables"],
    ["blackbox.surrogates"],
    ["blackbox.algorithms", "blackbox.problems"],
    ["blackbox.delivery", "blackbox.fixing", "blackbox.handout", "blackbox.serving", "blackbox.result"],
    ["blackbox.persistence"],
    ["blackbox.optimizer"],
    ["blackbox.testing", "blackbox._study_records", "blackbox.evaluation", "blackbox._owner", "blackbox._main_guard"],
    ["blackbox._study_file", "blackbox._worker", "blackbox.progress"],
    ["blackbox.storage", "blackbox.executors"],
    ["blackbox._replica", "blackbox._study_history", "blackbox._study_meta", "blackbox._study_tell"],
    ["blackbox._claims"],
    ["blackbox._run"],
    ["blackbox.study"],
    ["blackbox.auto"],
    ["blackbox._sweep_plan", "blackbox._sweep_metrics"],
    ["blackbox._sweep_runs", "blackbox._sweep_result"],
    ["blackbox._sweep_file", "blackbox._sweep_parts"],
    ["blackbox._sweep_team"],
    ["blackbox._sweep_work"],
    ["blackbox.sweeping"],
    ["blackbox.plot", "blackbox.plugins", "blackbox.cli", "blackbox.__main__"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def modules() -> dict[str, Path]:
    found = {}
    for folder in ("blackbox", "problems", "algorithms", "surrogates"):
        prefix = "" if folder == "blackbox" else "blackbox."
        for path in (ROOT / folder).rglob("*.py"):
            if any(part.is_symlink() for part in path.relative_to(ROOT).parents if (ROOT / part).is_symlink()):
                continue
            name = prefix + ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def top_level_imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:  # imports inside functions and under TYPE_CHECKING do not count
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name for name in names if name.split(".")[0] == "blackbox"}


def layer(name: str) -> int | None:
    while name:
        if name in RANK:
            return RANK[name]
        name = name.rpartition(".")[0]
    return None


def test_imports_point_one_way() -> None:
    wrong = []
    for name, path in modules().items():
        if name == "blackbox":
            continue
        own = layer(name)
        assert own is not None, f"{name} is in no layer: add it to LAYERS"
        for imported in top_level_imports(path):
            other = layer(imported)
            if imported != "blackbox" and other is not None and other > own:
                wrong.append(f"{name} imports {imported}")
    assert not wrong, wrong


def test_there_are_no_cycles() -> None:
    found = modules()
    graph = {
        name: {other for other in top_level_imports(path) if other in found and other != name and other != "blackbox"}
        for name, path in found.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for other in graph[name]:
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {"botorch", "gpytorch", "pymoo", "moocore", "cma", "matplotlib", "sklearn", "evox", "rich", "typer"}
    assert not loaded_by("import blackbox") & (heavy | {"torch", "numpy"})
    assert not loaded_by("import blackbox; blackbox.Optimizer; import blackbox.algorithms.sampling") & heavy
