"""Each run of a comparison or a sweep in a process of its own.

A worker gets one JSON object on stdin and answers in lines of JSON on stdout: now and then
``{"progress": [label, share]}``, and last ``{"result": ...}``, ``{"not_run": reason}`` or
``{"error": message, "status": n}``.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import vmcore
from vmcore import cost, scenario, sweep

from . import open_streams


def by_kernel(chosen: scenario.Scenario, names: list[str], seed: int) -> dict[str, sweep.Point]:
    """The jobs of a comparison."""
    return {name: sweep.Point(name, {}, chosen, seed) for name in names}


class Bar(Protocol):
    """What shows how far each job is."""

    def update(self, name: str, label: str, share: float) -> None: ...
    def finish(self, name: str) -> None: ...


class Pool:
    """Runs workers, so many at a time; collects results, errors, and whether Ctrl-C came, by the names of the jobs."""

    def __init__(self, jobs: dict[str, sweep.Point], bar: Bar, costs: cost.CostModel) -> None:
        self.jobs = jobs
        self.costs = cost.to_builtins(costs)
        self.bar = bar
        self.results: dict[str, Any] = {}
        self.errors: dict[str, tuple[str, int]] = {}
        self.not_run: dict[str, str] = {}       # the kernel lacks a call of the scenario
        self.interrupted = False
        self._buffers: dict[str, bytes] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._selector = selectors.DefaultSelector()

    def run(self, at_once: int, go_on: bool = False) -> dict[str, Any]:
        """All jobs; the results in their order. An error ends what has not begun, unless it is to go on."""
        waiting = list(self.jobs)
        deadline = None

        def more() -> bool:
            return bool(waiting) and not self.interrupted and (go_on or not self.errors)

        try:
            while self._running or more():
                try:
                    while more() and len(self._running) < at_once:
                        self._start(waiting.pop(0))
                    self._wait(None if deadline is None else max(deadline - monotonic(), 0))
                except KeyboardInterrupt:
                    if self.interrupted:
                        break       # a second Ctrl-C: at once
                    self.interrupted, deadline = True, monotonic() + sweep.GRACE
                    for process in self._running.values():
                        process.send_signal(signal.SIGINT)
                if deadline is not None and monotonic() >= deadline:
                    break
        finally:
            for process in self._running.values():
                process.kill()
                process.wait()
            self._selector.close()
        return {name: self.results[name] for name in self.jobs if name in self.results}

    def _start(self, name: str) -> None:
        # It is born with Ctrl-C blocked, and lets it in when it can answer.
        with sweep.closed_to_interrupts():
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", "from vmcore.cli.workers import main; main()"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment())
        assert process.stdin and process.stdout
        self._running[name], self._buffers[name] = process, b""
        self._selector.register(process.stdout, selectors.EVENT_READ, name)
        job = self.jobs[name]
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps({"scenario": scenario.to_builtins(job.scenario), "kernel": job.kernel,
                                            "seed": job.seed, "costs": self.costs}).encode())
            process.stdin.close()

    def _wait(self, timeout: float | None) -> None:
        """Read what workers have to say."""
        for key, _ in self._selector.select(timeout):
            name = key.data
            data = os.read(key.fd, 1 << 20)
            *lines, self._buffers[name] = (self._buffers[name] + data).split(b"\n")
            for line in lines:
                self._message(name, json.loads(line))
            if not data:
                self._end(name)

    def _message(self, name: str, message: dict[str, Any]) -> None:
        if "progress" in message:
            self.bar.update(name, *message["progress"])
        elif "result" in message:
            self.results[name] = message["result"]
        elif "not_run" in message:
            self.not_run[name] = message["not_run"]
        elif "error" in message:
            self.errors[name] = (message["error"], message["status"])

    def _end(self, name: str) -> None:
        process = self._running.pop(name)
        assert process.stdout
        self._selector.unregister(process.stdout)
        process.stdout.close()
        status = process.wait()
        self.bar.finish(name)
        if name not in {*self.results, *self.errors, *self.not_run} and not self.interrupted:
            how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            self.errors[name] = (f"its process {how} and gave no result", 1)


def child_environment() -> dict[str, str]:
    """A child imports the vmcore that this process runs, from wherever it came."""
    path = [str(Path(vmcore.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


# ---- the worker's side


def main() -> None:
    """Run the one job that stdin asks for."""
    from . import options

    open_streams()
    signal.signal(signal.SIGINT, sweep.interrupt_once)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)       # whatever else is printed goes to stderr
    options.plain_warnings()
    last = 0.0

    def send(**message: Any) -> None:
        out.write(json.dumps(message, allow_nan=False) + "\n")
        out.flush()

    def progress(label: str, share: float) -> None:
        nonlocal last
        if monotonic() - last >= 0.1:
            last = monotonic()
            send(progress=[label, share])

    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        job = json.load(sys.stdin)
        send(**sweep.attempt(scenario.from_builtins(job["scenario"]), job["kernel"], job["seed"],
                             cost.from_builtins(job["costs"]), progress))
    except KeyboardInterrupt:
        sys.exit(130)
    except scenario.ScenarioError as error:
        send(error=str(error), status=2)
    except BrokenPipeError:
        # The parent has gone, and nobody waits for the rest.
        os._exit(1)
