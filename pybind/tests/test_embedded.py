"""A program that ends the interpreter and starts it again. The dangers: threads of the second one that nobody wakes, and threads of the first
one that come back into the second."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig

import pso
import pytest

PROGRAM = r"""
#include <Python.h>
int main(int count, char **arguments) {
    for (int number = 0; number < 3; number++) {
        Py_Initialize();
        if (PyRun_SimpleString(arguments[1]) != 0 || Py_FinalizeEx() != 0)
            return 1;
    }
    return 0;
}
"""

CODE = """
import sys, threading, time
sys.path[:0] = [{path!r}]
import pso
space = pso.create(size="2M")
queue, got = space.Queue(), []
# One that stays asleep, and is there when the interpreter ends; and one that is woken.
threading.Thread(target=space.Queue().get, daemon=True).start()
thread = threading.Thread(target=lambda: got.append(queue.get()), daemon=True)
thread.start()
for _ in range(1_000):
    if space.stats()["sleeps"] >= 2:
        break
    time.sleep(0.01)
queue.put(5)
thread.join(10)
print(got, flush=True)
"""


def compiled(folder):
    """The program, linked with the library of the Python that runs this."""
    compiler, library = shutil.which("cc"), sysconfig.get_config_var("LIBDIR")
    if compiler is None or not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        pytest.skip("needs a C compiler, and a Python that is a library")
    name = sysconfig.get_config_var("LDLIBRARY").removeprefix("lib").removesuffix(".so")
    source, program = folder / "program.c", folder / "program"
    source.write_text(PROGRAM)
    include = f"-I{sysconfig.get_config_var('INCLUDEPY')}"
    command = [compiler, source, "-o", program, include, f"-L{library}", f"-Wl,-rpath,{library}", f"-l{name}"]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"cannot be compiled: {made.stderr}")
    return program


def test_threads_of_an_interpreter_that_comes_after_another_wake_up(tmp_path):
    code = CODE.format(path=str(pathlib.Path(pso.__file__).parent.parent))
    environment = {**os.environ, "PYTHONHOME": sys.base_prefix}
    done = subprocess.run([compiled(tmp_path), code], capture_output=True, text=True, timeout=50, env=environment)
    assert done.returncode == 0 and done.stdout.split() == ["[5]"] * 3, (done.returncode, done.stdout, done.stderr)
