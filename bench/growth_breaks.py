"""What breaks first as a machine grows: of the simulated kernel its low memory, from sizes; of the host its memory."""
from __future__ import annotations

from vmcore import footprint, kernels, scenario
from vmcore._fast.engine import host_bytes
from vmcore.report.figures import write
from vmcore.scenario import fits

GIB = 1 << 30
KERNELS = ("2.4", "2.6.5", "2.6.5-aa1", "2.6.7")
TASKS, RAMS = (10, 100, 1000, 10_000), (4, 16, 64)
HOST_RAMS = (1, 4, 16, 64, 256, 1024)


def breaks() -> dict[str, list[list[str]]]:
    """Tables by their titles."""
    return {
        "low memory (896 MiB of i386-pae), tasks that share a segment of 1 GiB: what takes most of it, whether it fits":
            low_memory(),
        "the same with page tables in high memory (highpte)": low_memory("tunables.highpte=true"),
        "memory of the host, x86_64 with half as much swap: a machine in full use": host_memory(),
    }


def low_memory(*settings: str) -> list[list[str]]:
    """A row for each kernel and size of RAM, a column for each number of tasks."""
    rows = [["kernel", "RAM", *(f"{tasks:,} tasks" for tasks in TASKS)]]
    for kernel in KERNELS:
        for ram in RAMS:
            row = [kernel, f"{ram}G"]
            for tasks in TASKS:
                chosen = scenario.load("oracle", settings=[f"tasks={tasks}", "segment=1024", f"ram={ram}", *settings])
                found = fits.predict(chosen, kernel)
                worst = max(found.low, key=lambda name: found.low[name])
                row.append("does not boot" if found.why_not else
                           f"{write('bytes', found.total)}: {worst} {write('bytes', found.low[worst])} "
                           f"{'fits' if found.fits else 'NO'}")
            rows.append(row)
    return rows


def host_memory() -> list[list[str]]:
    """A column for each size of RAM: idle machines take nothing, full ones this."""
    has = host_bytes()
    rows = [["kernel", *(f"{ram}G" for ram in HOST_RAMS)]]
    for kernel in ("2.6.5", "2.6.5-aa1", "6.18"):
        rules = kernels.get(kernel).rules("x86_64")
        row = [kernel]
        for ram in HOST_RAMS:
            frames = ram * GIB // 4096
            full = sum(footprint.host_bytes(footprint.full_use(frames, [frames // 2], rules), frames, rules).values())
            row.append(f"{write('bytes', full)}{'' if full <= has else ' NO'}")
        rows.append(row)
    return rows
