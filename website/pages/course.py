"""The course: the page of each lesson with its figures and its spec, below the list of all lessons."""

from __future__ import annotations

from course.lessons import HERE, Lesson, lessons
from website import fences


def paths() -> list[str]:
    """The pages of the lessons, in order."""
    return [f"course/{lesson.folder.name}/lesson.md" for lesson in lessons()]


def pages() -> dict[str, str]:
    """Pages and figures by their paths, which are those below `course/`."""
    found = {"course/index.md": (HERE / "README.md").read_text()}
    for lesson in lessons():
        folder = f"course/{lesson.folder.name}"
        found[f"{folder}/lesson.md"] = page(lesson)
        found |= {f"{folder}/{figure}": (lesson.folder / figure).read_text() for figure in lesson.figures}
    return found


def page(lesson: Lesson) -> str:
    """A lesson with its specs below it."""
    specs = [fences.block(path.read_text(), path.name) for path in sorted(lesson.folder.glob("*.net"))]
    text = lesson.text.rstrip("\n").replace("](../../docs/", "](../../")
    return "\n\n".join([text, *(["## Source", *specs] if specs else [])]) + "\n"
