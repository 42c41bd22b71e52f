"""The table of ratios and targets, from the JSON of pytest-benchmark: `python -m bench.table RUN.json [--json FILE]`.

A row is one figure of ours beside one peer. `ok` and `over` are the verdicts on the targets of targets.py; they hold
at scale 1, and the head of the table says so where it is another.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench.targets import TARGETS, Target

Row = dict[str, Any]


def rows_of(info: dict[str, Any]) -> list[Row]:
    """The rows of one benchmark: one for each target that it has, or one against its first peer."""
    if "ours" not in info:
        return []
    wanted = list(info["targets"].items()) or [(None, next(iter(info["peers"]), None))]
    rows = [row(info, target, against) for target, against in wanted]
    return rows + [made for more in info.get("also", []) for made in rows_of(more)]


def row(info: dict[str, Any], target: str | None, against: str | None) -> Row:
    """Ours beside one peer."""
    goal = TARGETS[target] if target else None
    peers = info["peers"]
    made: Row = {
        "id": target,
        "path": info["path"],
        "kernel": info["kernel"],
        "pattern": info["pattern"],
        "unit": info["unit"],
        "ours": info["ours"]["median"],
        "against": against,
        "peer": None,
        "ratio": None,
        "spread": None,
        "rate": info["rate"],
        "engine": None,
        "speed": None,
        "others": {name: figure["median"] for name, figure in peers.items() if name != against},
        "counters": info.get("counters", {}),
        "notes": info.get("notes", {}),
    }
    if against is not None:
        peer = peers[against]
        pairs = zip(info["ours"]["rounds"], peer["rounds"], strict=True)
        ratios = sorted(theirs / ours if made["rate"] else ours / theirs for ours, theirs in pairs)
        made.update(peer=peer["median"], spread=[ratios[0], ratios[-1]],
                    ratio=peer["median"] / made["ours"] if made["rate"] else made["ours"] / peer["median"])
        judge(made, goal)
    return made


def judge(made: Row, goal: Target | None) -> None:
    """The verdicts on a row."""
    for phase in ("engine", "speed"):
        limit = getattr(goal, phase, None)
        if goal is not None and limit is not None:
            ok = made["ratio"] >= limit if made["rate"] else made["ratio"] <= limit
            made[phase] = {"limit": limit, "ok": ok}


def storms_compared(rows: list[Row]) -> list[Row]:
    """P9: the storm on pte_chain beside that on anon_vma, each measured by the peer that ran in turn with it."""
    made = []
    for slow in [r for r in rows if r["id"] in ("P7", "P8") and r["kernel"] == "2.6.5"]:
        for fast in [r for r in rows if r["id"] == slow["id"] and r["kernel"] == "2.6.5-aa1"]:
            ratio = fast["ratio"] / slow["ratio"]
            either_way = max(ratio, 1 / ratio)
            new = {**slow, "id": "P9", "ours": slow["ours"], "against": "the same on 2.6.5-aa1", "peer": fast["ours"],
                   "ratio": either_way, "spread": None, "rate": False, "others": {}, "counters": {}, "notes": {},
                   "engine": None, "speed": None,
                   "pattern": f"{slow['pattern']}; either way, each as a multiple of {slow['against']} in its rounds"}
            judge(new, TARGETS["P9"])
            made.append(new)
    return made


def build(run: dict[str, Any]) -> dict[str, Any]:
    """The whole table as one object."""
    ours = run.get("vmcore_bench", {})
    rows = [r for benchmark in run["benchmarks"] for r in rows_of(benchmark["extra_info"])]
    rows += storms_compared(rows)
    order = {name: number for number, name in enumerate(TARGETS)}
    rows.sort(key=lambda r: order.get(r["id"], len(order)))
    machine = run["machine_info"]
    return {
        "scale": ours.get("scale"),
        "load": ours.get("load", []),
        "peak_kib": ours.get("peak_kib"),
        "host": {
            "cpu": machine.get("cpu", {}).get("brand_raw"),
            "cores": machine.get("cpu", {}).get("count"),
            "huge_pages": ours.get("huge_pages"),
            "system": machine.get("system"),
            "release": machine.get("release"),
        },
        "versions": {"python": machine.get("python_version"), **ours.get("versions", {})},
        "rows": rows,
        "not_measured": [name for name in TARGETS if all(r["id"] != name for r in rows)],
        "skipped": ours.get("skipped", []),
        "failed": ours.get("failed", []),
    }


# ---- as text

HEAD = f"{'':5}{'path':50}{'ours':>10} {'':6}{'peer':>10}  {'against':27}{'ratio':>7} {'[rounds]':>14}  "


def text(table: dict[str, Any]) -> str:
    """The table for people: a line of figures and a line with the access pattern for each row."""
    host, versions = table["host"], table["versions"]
    load = " to ".join(f"{x:.1f}" for x in table["load"])
    parts = [
        f"vmcore {versions.get('vmcore')}, scale {table['scale']:g}; Python {versions['python']},"
        f" numpy {versions.get('numpy')}; {host['cpu']}, {host['cores']} cores, huge pages: {host['huge_pages']};"
        f" load {load}",
        "CPU time of the thread unless said; medians of rounds in which ours and the peers took turns.",
        "The ratio is ours / peer, with a * peer / ours (times its rate); [least..most of the rounds].",
    ]
    if table["scale"] != 1:
        parts.append("The targets are for scale 1: here the tables fit into caches, the verdicts say nothing.")
    for title, chosen in (("Targets", [r for r in table["rows"] if r["id"]]),
                          ("Beside them, without a target", [r for r in table["rows"] if not r["id"]])):
        if chosen:
            parts += ["", title, HEAD + ("engine        speed" if chosen[0]["id"] else "")]
            for i, r in enumerate(chosen):
                parts.append(line(r))
                before = chosen[i - 1] if i else {"pattern": "", "notes": None}
                said = [r["pattern"]] if r["pattern"] != before["pattern"] else []
                said += others(r) if said or r["notes"] != before["notes"] else []
                parts += [f"     {'; '.join(said)}"] if said else []
    if table["not_measured"]:
        names = dict.fromkeys(TARGETS[name].label or name for name in table["not_measured"])
        parts += ["", f"Targets that this run did not measure: {', '.join(names)}"]
    if table["skipped"]:
        parts += ["", "Skipped", *(f"     {s['name']}: {s['reason']}" for s in table["skipped"])]
    if table["failed"]:
        parts += ["", "FAILED", *(f"     {name}" for name in table["failed"])]
    return "\n".join(parts)


def line(r: Row) -> str:
    """The figures of a row."""
    label = (TARGETS[r["id"]].label or r["id"]) if r["id"] else ""
    path = r["path"] + (f", {r['kernel']}" if r["kernel"] else "")
    out = f"{label:5}{path:50}{number(r['ours']):>10} {r['unit']:6}"
    if r["ratio"] is None:
        return out.rstrip()
    spread = f"[{number(r['spread'][0])}..{number(r['spread'][1])}]" if r["spread"] else ""
    ratio = number(r["ratio"]) + ("*" if r["rate"] else "")
    out += f"{number(r['peer']):>10}  {r['against']:27}{ratio:>7} {spread:>14}  "
    sign = ">=" if r["rate"] else "<="
    for phase in ("engine", "speed"):
        mark = r[phase]
        out += f"{sign + ' ' + format(mark['limit'], 'g') + (' ok' if mark['ok'] else ' OVER') if mark else '':14}"
    return out.rstrip()


def others(r: Row) -> list[str]:
    """The other peers and the facts of a row."""
    said = [f"{name} {number(value)} {r['unit']}" for name, value in r["others"].items()]
    for name, value in r["notes"].items():
        if isinstance(value, int | float | str):
            said.append(f"{name.replace('_', ' ')} {value if isinstance(value, str) else number(value)}")
    return said


def number(value: float) -> str:
    """Three digits that matter."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def overall(table: dict[str, Any]) -> str:
    """One line: how many of the engine's targets hold."""
    judged = [r["engine"]["ok"] for r in table["rows"] if r["engine"]]
    fast = [r["speed"]["ok"] for r in table["rows"] if r["speed"]]
    return f"engine targets: {sum(judged)} of {len(judged)} ok; speed targets: {sum(fast)} of {len(fast)} ok"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.table", description=__doc__.splitlines()[0])
    parser.add_argument("run", help="the JSON that pytest-benchmark wrote")
    parser.add_argument("--json", metavar="FILE", help="the table as JSON; - is stdout, and then there is no text")
    args = parser.parse_args()
    table = build(json.loads(Path(args.run).read_text(encoding="utf-8")))
    emit(table, args.json)
    return 0


def emit(table: dict[str, Any], path: str | None) -> None:
    """To the terminal, and as JSON to a file or stdout."""
    if path == "-":
        json.dump(table, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    print(text(table))
    print()
    print(overall(table))
    if path:
        Path(path).write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
        print(f"as JSON: {path}")


if __name__ == "__main__":
    sys.exit(main())
