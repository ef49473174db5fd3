"""Interpreters beside the main one, as its own thread runs them. (What they do at once is in `own_gil.py`.)"""

import subprocess
import sys

PROGRAM = """
import atexit, sys
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
else:
    import _xxsubinterpreters as interpreters
other = interpreters.create()

def last():
    failed = interpreters.run_string(other, "space.collect(); print('collected', flush=True)")
    print(failed, flush=True)

# Before that of the package, so it runs after it.
atexit.register(last)
import pso
space = pso.attach({name!r})
interpreters.run_string(other, "import pso; space = pso.attach({name!r})")
space.root["x"] = 1
"""


def test_who_ends_the_main_interpreter_may_run_another_one_after_its_exit_hooks(named_space):
    """The danger: in the other interpreter it is taken for another thread, which may not come back from a sleep, and the process stays for ever."""
    program = PROGRAM.format(name=named_space.name)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert done.stdout.split() == ["collected", "None"], (done.returncode, done.stdout, done.stderr)
