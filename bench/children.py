"""What runs in a process of its own: `python -m bench.children memory KERNEL SCALE` prints one JSON object."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def environment() -> dict[str, str]:
    """A child imports the vmcore that this process imports, and this folder."""
    import vmcore

    paths = [str(Path(vmcore.__file__).parents[1]), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def run(*args: str) -> Any:
    """What a child of this module printed."""
    done = subprocess.run([sys.executable, "-P", "-m", "bench.children", *args], env=environment(), check=True,
                          stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def resident(field: str) -> int:
    """VmRSS or VmHWM of this process, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} in /proc/self/status")


def memory(kernel: str, scale: str) -> dict[str, Any]:
    """hundred-tasks on one kernel: host memory, frames, page-table entries in use."""
    import vmcore

    check = vmcore.Machine.check        # numpy and the engine are loaded from here on
    imported = resident("VmRSS")
    from vmcore import scenario

    chosen = scenario.load("hundred-tasks", settings=[f"scale={scale}"])
    seen: dict[str, Any] = {}

    def checked(machine: vmcore.Machine, walk: int = 0) -> Any:
        # The runner checks at the end of the last sweep, where most entries are in use.
        seen["peak_before_check"] = resident("VmHWM")
        report = check(machine, walk)
        seen.update(present=report.present, swap_ptes=report.swap_ptes)
        return report

    vmcore.Machine.check = checked  # type: ignore[method-assign]
    result = scenario.run(chosen, kernel)
    return {
        "imported": imported,
        "peak": max(resident("VmHWM"), seen["peak_before_check"]),
        "frames": int(chosen.ram) // 4096,
        "arch": chosen.arch,
        **seen,
        **{name: result[name] for name in ("seconds", "seconds_outside_engine", "touches", "ok", "problems", "vmstat")},
    }


if __name__ == "__main__":
    print(json.dumps({"memory": memory}[sys.argv[1]](*sys.argv[2:])))
