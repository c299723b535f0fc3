"""The folder of a published net, whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from netdsl.diagnostics.packages import needed_by
from netdsl.inference.run_folder import ONNX, WEIGHTS
from netdsl.publish.card import card
from netdsl.publish.shared import Shared, configuration
from netdsl.publish.sources import FIELDS, texts
from netdsl.weights.hub import mistakes


def fill(folder: Path, net: Shared) -> list[str]:
    """Write the files of a published net into a folder; gives their names. Raises OSError."""
    for name in (WEIGHTS, f"{ONNX}.data"):
        if (net.run / name).is_file():
            shutil.copyfile(net.run / name, folder / name)
    if (net.run / ONNX).is_file():
        from netdsl.backends.onnx.file import copy

        copy(net.run / ONNX, folder / ONNX, FIELDS)
    for name, text in texts(net.run, net.module).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    text = json.dumps(configuration(net), indent=2, ensure_ascii=False)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(net, (folder / ONNX).is_file()), encoding="utf-8")
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def upload(folder: Path, repository: str, private: bool) -> str:
    """Upload a folder to a repository of the Hugging Face Hub, which is made where there is none; gives its address.

    Raises UserError without the package, and where the Hub refuses.
    """
    from netdsl.diagnostics.diagnostic import UserError, first_line

    with needed_by("an upload"):
        from huggingface_hub import HfApi
    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="netdsl push")
    except mistakes() as error:
        hint = "`hf auth login` signs in; with a FOLDER the files are kept, and `hf upload` takes them later"
        raise UserError("cannot-write", f"{repository} was not written: {first_line(error)}", hint) from None
    return f"https://huggingface.co/{repository}"
