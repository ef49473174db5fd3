"""What an operation does, in a form in which a shared object and its builtin can be compared."""

import re

import pso

SHARED = (pso.Dict, pso.List, pso.Queue)


def described(value, above=()):
    """A result with the types that `==` hides: 1, 1.0 and True differ, and so do list and tuple. Cycles are kept."""
    if isinstance(value, SHARED):
        value = value.to_python()
    if id(value) in above:
        return ("cycle", len(above) - above.index(id(value)))
    inside = (*above, id(value))
    if type(value).__name__.lower().endswith(("iterator", "iter")):
        return ("iterator", [described(item, inside) for item in value])
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, [described(item, inside) for item in value])
    if isinstance(value, (set, frozenset)):
        return ("set", sorted(described(item) for item in value))
    if isinstance(value, dict):
        return ("dict", [(described(key), described(item, inside)) for key, item in value.items()])
    return (type(value).__name__, repr(value))


def message(error):
    """What an error says, with the builtin's names for our types."""
    if isinstance(error, KeyError):
        return repr(error.args)
    text = re.sub(r"\bpso(\._\w+)?\.(?=[A-Z])", "", str(error))
    text = re.sub(r"\bDict(Keys|Values|Items)\b", lambda found: f"dict_{found[1].lower()}", text)
    return re.sub(r"\b(List|Dict)\b", lambda found: found[0].lower(), text)


def outcome(function, *arguments):
    """The result of a call, or the error that it raised."""
    try:
        return ("gives", described(function(*arguments)))
    except RecursionError:
        return ("raises", "RecursionError", "")
    except Exception as error:
        return ("raises", type(error).__name__, message(error))


def run_text(text, **names):
    """Runs statements, divided by `; `. The last may be an expression: gives its value, or what `result` is then."""
    *statements, last = text.split("; ")
    for statement in statements:
        exec(statement, names)
    try:
        code = compile(last, last, "eval")
    except SyntaxError:
        exec(last, names)
        return names.get("result")
    return eval(code, names)


def compare(text, shared, builtin, **names):
    """Runs the text on both as `x`: the same outcome, and the same contents afterwards."""
    expected = outcome(lambda: run_text(text, x=builtin, **names))
    assert outcome(lambda: run_text(text, x=shared, **names)) == expected
    assert described(shared) == described(builtin)
