"""Whether the script that starts worker processes can be imported by them without starting itself again."""

from __future__ import annotations

import ast
import multiprocessing
import sys
from pathlib import Path
from types import FrameType

from blackbox.errors import StudyError

__all__ = ["check_main_guard"]

_REMEDY = (
    "worker processes import the script that starts them, so it must not start at import: put what runs below\n\n"
    '    if __name__ == "__main__":\n\n'
)


def check_main_guard() -> None:
    """Raise `StudyError` where workers cannot import the running script, or would start it once more by doing so."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise StudyError(_REMEDY + "(this is a worker process that was importing the script)")
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name.endswith("__main__"):
        return  # python -m package: workers do not import it
    origin = getattr(main, "__file__", None)
    if origin is not None and not Path(origin).exists():
        raise StudyError(
            f"worker processes import the script that starts them, and {origin} is no file: put it into a file, or use "
            "workers=1, or a thread pool: executor=ThreadPoolExecutor(n)"
        )
    frame = _main_frame()
    if frame is None:
        return
    file = Path(frame.f_code.co_filename)
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # an interactive session
    guards = [node for node in tree.body if isinstance(node, ast.If) and _mentions_name(node.test)]
    if not guards:
        raise StudyError(f"{file.name}, line {frame.f_lineno}: {_REMEDY}")


def _main_frame() -> FrameType | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == "__main__":
            return frame
        frame = frame.f_back
    return None


def _mentions_name(test: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(test))
