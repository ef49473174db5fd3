"""The main job of `pso demo`: count, index and measure every file of the standard library, in several processes.

What each module is:

- `corpus`: which files;
- `parse`: one file to one `Parsed`, a pure function, outside any transaction;
- `merge`: one `Parsed` into the results. The same function serves builtin and shared containers;
- `plain`: the whole job in one process on builtins. Its result is what the others must equal;
- `worker`: takes names from a shared queue, parses, merges each file in one transaction;
- `coordinator`: makes the shared objects, feeds the queue, puts back what a dead worker had in progress;
- `verify`: attaches when all is done and compares everything with the plain result;
- `manager`: the job on `multiprocessing.Manager`, for comparison.

`python -m pso_demo` is started by the command `pso`, which also kills the workers; see `__main__`.
"""
