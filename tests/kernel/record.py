"""What Linux answered to a directed script, kept as a file, so that vmcore can be held against it on any host.

`python -m tests.kernel.record [NAME ...]` asks the running kernel again (all directed scripts, or those) and writes
recorded/NAME.json. A recording holds the script itself: if the two differ, the recording is out of date.
"""
from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

from tests.kernel import linux
from tests.kernel.compare import Step, run
from tests.kernel.script import PAGE, Script, dump, load, parse
from tests.kernel.state import Outcome, Page, Space, State, Vma

DIRECTED = Path(__file__).parent / "directed"
RECORDED = Path(__file__).parent / "recorded"


def scripts() -> list[Path]:
    return sorted(DIRECTED.glob("*.txt"))


def ask(script: Script) -> list[Step]:
    """The running kernel's answers."""
    with linux.Box() as box:
        return list(run(box, script.ops, script.states))


def save(script: Script, steps: list[Step]) -> None:
    """A step a line; of the state only what the operation changed."""
    head = {"kernel": platform.release().partition("-")[0], "tunables": linux.tunables(),
            "script": dump(script.ops).splitlines()}
    lines = []
    before: State = {}
    for step in steps:
        state = step.state or {}
        changed = {str(p): _space(state[p]) if p in state else None for p in state.keys() | before.keys()
                   if before.get(p) != state.get(p)}
        out = step.outcome
        lines.append([out.kind, out.value, list(out.faults), dict(sorted(changed.items()))])
        before = state
    body = ",\n".join(json.dumps(line, separators=(",", ":")) for line in lines)
    text = json.dumps(head, indent=1)[:-2] + f',\n "states": {json.dumps(script.states)},\n "steps": [\n{body}\n]}}\n'
    (RECORDED / f"{script.name}.json").write_text(text)


def read(script: Script) -> tuple[list[Step], dict[str, int]]:
    """Recorded steps, and the tunables of the kernel that made them."""
    path = RECORDED / f"{script.name}.json"
    data = json.loads(path.read_text())
    if tuple(parse("\n".join(data["script"]))) != script.ops:
        raise ValueError(f"{path} is of another script; record it again: python -m tests.kernel.record {script.name}")
    steps, state = [], {}
    for kind, value, faults, changed in data["steps"]:
        value = tuple(value) if isinstance(value, list) else value
        state = dict(state)
        for proc, space in changed.items():
            if space is None:
                del state[int(proc)]
            else:
                state[int(proc)] = _unspace(space)
        steps.append(Step(Outcome(kind, value, tuple(faults)), state if data["states"] else None))
    return steps, data["tunables"]


def _space(space: Space) -> dict[str, Any]:
    runs: list[list[Any]] = []
    for addr, page in sorted(space.pages.items()):
        last = runs[-1] if runs else None
        if last and addr == last[0] + len(last[3]) * PAGE and (page.kind, page.once) == (last[1], last[2]):
            last[3].append(page.frame)
        else:
            runs.append([addr, page.kind, page.once, [page.frame]])
    vmas = [[v.start, v.end, v.perms, v.flags, v.offset, v.file] for v in space.vmas]
    return {"vmas": vmas, "pages": runs, "sizes": space.sizes}


def _unspace(data: dict[str, Any]) -> Space:
    pages = {addr + i * PAGE: Page(kind, once, frame)
             for addr, kind, once, frames in data["pages"] for i, frame in enumerate(frames)}
    return Space(tuple(Vma(*v) for v in data["vmas"]), pages, data["sizes"])


def main() -> int:
    reason = linux.why_not()
    if reason is not None or linux.release() != (6, 18) or not linux.frame_numbers():
        print(reason or f"recordings are of 6.18 with frame numbers (root); this is {platform.release()}",
              file=sys.stderr)
        return 1
    RECORDED.mkdir(exist_ok=True)
    for path in scripts():
        if len(sys.argv) == 1 or path.stem in sys.argv[1:]:
            script = load(path)
            save(script, ask(script))
    names = {path.stem for path in scripts()}
    for path in RECORDED.glob("*.json"):
        if path.stem not in names:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
