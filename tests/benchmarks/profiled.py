"""A module run under cProfile, as `python -m` would run it.

python -m tests.benchmarks.profiled RESULT MODULE ARGUMENT...
"""

from __future__ import annotations

import cProfile
import runpy
import sys


def main() -> None:
    result, module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    profile = cProfile.Profile()
    try:
        profile.runcall(runpy.run_module, module, run_name="__main__", alter_sys=True)
    finally:
        profile.dump_stats(result)


if __name__ == "__main__":
    main()
