"""Makes all figures of the course, or those of some lessons: python -m course.make [--draw] [NUMBER ...]

Every command of a lesson is run in its folder. What was stopped continues where it was; delete a lesson's
`experiments` to train it again from the start. `--draw` runs nothing: the figures are drawn again from the numbers that
are kept beside them, as after a change of how charts look.
"""

from __future__ import annotations

import sys
import time

from course.lessons import HERE, Lesson, index, lessons

MARK = "<!-- lessons -->\n"


def main(words: list[str]) -> int:
    """Run the commands. Returns the exit code of the first one that fails, else 0."""
    numbers = [w for w in words if w != "--draw"]
    if len(numbers) < len(words):
        return draw(numbers)
    for lesson in lessons():
        if numbers and lesson.number not in numbers:
            continue
        for command in lesson.commands:
            began = time.monotonic()
            print(f"{lesson.folder.name}: {command.text}", flush=True)
            done = command.run(*(["-q"] if command.kind == "experiment" else [])).returncode
            if done != 0 and not command.complete:
                return done
            print(f"  {time.monotonic() - began:.0f} s", flush=True)
        lesson.path.write_text(Lesson(lesson.folder).with_outputs())
    page = HERE / "README.md"
    before, mark, _ = page.read_text().partition(MARK)
    page.write_text(f"{before}{mark}\n" + "\n".join(index()) + "\n")
    return 0


def draw(numbers: list[str]) -> int:
    """Draw the figures from the numbers that are kept. Returns 0."""
    for lesson in lessons():
        for command in lesson.commands if not numbers or lesson.number in numbers else ():
            for path, svg in command.drawn().items():
                path.write_text(svg)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
