"""Build of the engine: every ``src/vmcore/_fast/**/*.pyx`` is one extension. Metadata is in pyproject.toml.

``VMCORE_DEBUG=1`` turns Cython's checks and the C compiler's debug information on; ``VMCORE_OPT=1`` (-O1) builds
faster what runs slower; ``VMCORE_SANITIZE=1`` is for `make sanitize`. A change of flags, directives or Cython
rebuilds everything; otherwise only what is older than its sources is compiled again, by two runs at a time or more
if there are more cores.
"""

import os
import platform
import shutil
import sys
from pathlib import Path

import Cython
import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).resolve().parent
SRC = Path("src")
DEBUG = os.environ.get("VMCORE_DEBUG", "0") not in ("", "0")
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": DEBUG,
    "initializedcheck": DEBUG,
    "nonecheck": DEBUG,
    "cdivision": True,
    "freethreading_compatible": True,
}
# Baseline machine code: no -march here, so that a wheel runs on every x86-64; wider vectors are function clones.
CFLAGS = ["-O" + os.environ.get("VMCORE_OPT", "3"), "-fno-strict-aliasing", "-g" if DEBUG else "-g0",
          "-Wno-unused-function", "-Wno-sign-compare", "-Wno-address-of-packed-member",
          "-Wno-enum-compare"]     # the last four: Cython's C, not ours
# Records are packed, so that members may lie at any address; x86 and the compiler know.
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize=alignment", "-fno-sanitize-recover=undefined",
            "-fno-omit-frame-pointer", "-g1"] if os.environ.get("VMCORE_SANITIZE", "0") not in ("", "0") else []
CFLAGS += SANITIZE
MACROS = [("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")]


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def configuration() -> str:
    """What file times do not show: flags, directives, tools."""
    return repr((Cython.__version__, numpy.__version__, platform.python_version(), sorted(DIRECTIVES.items()), CFLAGS))


def extensions(force: bool) -> list[Extension]:
    """One extension for each .pyx, translated to C where that is out of date."""
    found = [
        Extension(
            ".".join(path.relative_to(SRC).with_suffix("").parts),
            [str(path)],
            include_dirs=[numpy.get_include()],
            define_macros=MACROS,
            extra_compile_args=CFLAGS,
            extra_link_args=SANITIZE[:1],
        )
        for path in sorted(SRC.glob("vmcore/_fast/**/*.pyx"))
    ]
    return cythonize(
        found,
        include_path=[str(SRC)],
        compiler_directives=DIRECTIVES,
        nthreads=cores() if len(found) > 1 else 0,
        force=force,
        quiet=True,
    )


class BuildExtensions(build_ext):
    """Compiles on all cores, says what it compiles, and keeps extensions in the source tree that are up to date."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.parallel is None:
            self.parallel = cores()
        if FORCE:
            self.force = True

    def build_extension(self, ext: Extension) -> None:
        built = Path(self.get_ext_fullpath(ext.name))
        in_place = SRC.joinpath(*ext.name.split(".")[:-1], built.name)
        keep = (self.inplace or self.editable_mode) and not self.force and in_place.exists()
        if keep and all(in_place.stat().st_mtime >= Path(s).stat().st_mtime for s in ext.sources):
            if built.resolve() != in_place.resolve():
                built.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(in_place, built)
            return
        print(f"  compiling {ext.name}", file=sys.stderr, flush=True)
        super().build_extension(ext)


if __name__ == "__main__":
    os.chdir(HERE)
    wanted = not {"clean", "egg_info", "dist_info", "sdist", "--version", "--help"} & set(sys.argv[1:])
    stamp = Path("build", "configuration.txt")
    FORCE = wanted and not (stamp.exists() and stamp.read_text() == configuration())
    setup(ext_modules=extensions(FORCE) if wanted else [], cmdclass={"build_ext": BuildExtensions})
    if wanted:
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(configuration())
