"""Builds an extension of the benchmarks into bench/_build when it is older than its source or made for another Python,
and loads it."""

import importlib.util
import shutil
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
BUILD = HERE / "_build"
FLAGS = ["-O3", "-fno-strict-aliasing", "-g0"]      # the engine's own; no -march


def load(name: str = "limits") -> ModuleType:
    """The module of that name."""
    source = HERE / f"{name}.pyx"
    built = BUILD / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        _compile(source, built)
    spec = importlib.util.spec_from_file_location(name, built)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _compile(source: Path, built: Path) -> None:
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension

    print(f"building {source.name} for the benchmarks", file=sys.stderr, flush=True)
    BUILD.mkdir(exist_ok=True)
    copy = Path(shutil.copy(source, BUILD))
    made = cythonize([Extension(source.stem, [str(copy)], extra_compile_args=FLAGS)], quiet=True, force=True)
    distribution = Distribution({"name": source.stem, "ext_modules": made})
    command = distribution.get_command_obj("build_ext")
    command.build_lib, command.build_temp, command.force = str(BUILD), str(BUILD / "tmp"), True
    command.ensure_finalized()
    command.run()
    built.touch()
