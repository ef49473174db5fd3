"""The end of the interpreter, and what may keep it from beginning. The dangers: an end that never comes, objects that are gone before
those who were given them have loaded them."""

import subprocess
import sys

import pytest


def test_a_hook_that_was_registered_before_the_package_may_wait_at_exit(named_space):
    program = f"""import atexit
def last():
    import pso
    try:
        space = pso.attach({named_space.name!r})
        space.Queue(maxsize=1).get(timeout=0.05)
    except Exception as error:
        print(type(error).__name__)
    print("through")
atexit.register(last)
import pso
pso.attach({named_space.name!r}).root["x"] = 1"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert done.stdout.splitlines() == ["Empty", "through"], (done.stdout, done.stderr)


@pytest.mark.parametrize("before", ["import concurrent.futures.process", "pass"])
def test_a_child_that_is_still_starting_when_its_parent_ends_finds_its_objects(tmp_path, before):
    # The danger: what waits for children at exit was imported first, so runs last, and their objects are gone.
    program = tmp_path / "program.py"
    program.write_text(f"""
{before}
import multiprocessing, pathlib, sys, time, pso

def work(objects, out):
    out.write_text(str([x.to_python() for x in objects]))

if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1])
    anonymous, named = pso.create(size="4M"), pso.create(dir=out.parent / "space", size="4M")
    objects = [anonymous.List([1]), named.List([2])]
    multiprocessing.get_context("spawn").Process(target=work, args=(objects, out)).start()
""")
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, program, out], capture_output=True, text=True, timeout=50)
    assert out.exists() and out.read_text() == "[[1], [2]]" and done.returncode == 0, done


# What runs at the end of `multiprocessing`, and would be too early behind a hook of ours: it ends pools, and waits for children.
HOOKS = {
    "a child that waits for the hook": """
stop = multiprocessing.Event()
atexit.register(stop.set)
import pso
space = pso.create(size="1M")
multiprocessing.Process(target=stop.wait).start()
print("done")""",
    "a pool that the hook ends": """
pool = multiprocessing.Pool(1)
def end():
    pool.close()
    pool.join()
    print("done" if [result.get(1) for result in results] == [1, 2, 3, 4] else "lost")
atexit.register(end)
import pso
space = pso.create(size="1M")
results = [pool.apply_async(slow, [number]) for number in range(4)]""",
}


@pytest.mark.parametrize("what", HOOKS)
def test_hooks_that_were_registered_before_the_package_run_before_children_are_waited_for(tmp_path, what):
    program = tmp_path / "program.py"
    program.write_text(f"""import atexit, multiprocessing, time
multiprocessing.set_start_method("fork")
def slow(number):
    time.sleep(0.2)
    return number + 1
{HOOKS[what]}
""")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and done.stdout == "done\n", done


def test_an_interpreter_without_its_lock_is_refused():
    program = "import sys; sys._is_gil_enabled = lambda: False; import pso"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert "ImportError: pso needs the GIL" in done.stderr and done.returncode == 1, done
    done = subprocess.run([sys.executable, "-c", program.replace("False", "True")], timeout=20)
    assert done.returncode == 0


def test_a_process_may_have_a_name_that_is_no_text(tmp_path):
    # The kernel takes the first 15 bytes of a program's name, and cuts through a character.
    program = r"""
import pathlib, pso
pathlib.Path("/proc/self/comm").write_bytes(b"\xd0\xbe" * 7 + b"\xd0")
assert pso.create(size="1M").List([1]) == [1]
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done


# What a daemon's thread is in when the process ends: each runs `stay`, which never returns.
ENDLESS = {
    "a body": "space.run(stay)",
    "a generator": "space.List().extend(stay() for _ in range(3))",
    "__iter__": "space.List(type('Own', (), {'__iter__': lambda self: stay()})())",
    "__eq__": "space.List([1]).index(Equal())",
    "__index__": "space.List([1, 2])[type('Own', (), {'__index__': lambda self: stay()})()]",
    "a slice's __index__": "space.List([1, 2])[type('Own', (), {'__index__': lambda self: stay()})():]",
    "__hash__": "space.Dict({1: 1}).get(type('Own', (), {'__hash__': lambda self: stay()})())",
    "__float__": "space.Queue().get(timeout=type('Own', (), {'__float__': lambda self: stay()})())",
    "__del__": "space.List(Dying() for _ in range(1))",
    "__getattr__": "space.Dict(type('Own', (), {'__getattr__': lambda self, name: stay()})())",
}


@pytest.mark.parametrize("inside", ENDLESS)
def test_a_daemon_in_code_of_its_own_does_not_hinder_the_end(inside):
    # What goes late, when other threads are ended that ask for the lock, gives it away for a while.
    program = f"""import sys, threading, time, types, pso
space = pso.create(size="2M")
inside = threading.Event()
def stay():
    inside.set()
    while True:
        pass
class Equal:
    def __eq__(self, other):
        stay()
class Dying:
    def __del__(self):
        stay()
class Late:
    def __del__(self, sleep=time.sleep, write=sys.stdout.write):
        sleep(0.2)
        write("late")
module = sys.modules["late"] = types.ModuleType("late")
module.late = Late()
del module
def work():
    {ENDLESS[inside]}
threading.Thread(target=work, daemon=True).start()
if not inside.wait(10):
    print("never inside")"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, "late", "")
