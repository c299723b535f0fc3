"""Pages in a browser: Chromium loads one with a script that does what a person would and notes what it sees."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needed = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")

DRIVER = """<script>
(async () => {
  const seen = {errors: []};
  addEventListener("error", e => seen.errors.push(e.message));
  while (document.documentElement.dataset.ready === undefined) await new Promise(go => setTimeout(go, 20));
  const all = (q, from = document) => [...from.querySelectorAll(q)], one = q => document.querySelector(q);
  const press = (key, on = document.body) => on.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
  const mouse = (kind, on) => on.dispatchEvent(new MouseEvent(kind, {bubbles: true}));
  try { %s } catch (error) { seen.errors.push(String(error)); }
  document.body.replaceChildren(Object.assign(document.createElement("pre"), {id: "seen",
    textContent: JSON.stringify(seen)}));
})();
</script>"""


def drive(page: str, script: str, folder: Path) -> Any:
    """What a script notes in `seen` on a page that says when it is ready."""
    file = folder / "page.html"
    file.write_text(page + DRIVER % script)
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=8000",
        f"--user-data-dir={folder}/u",
    ]
    done = subprocess.run(
        [BROWSER or "", *options, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=120
    )
    found = re.findall(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    seen = json.loads(unescape(found[0]))
    assert seen.pop("errors") == []
    return seen
