"""One file to what is known of it. Pure: the same bytes give the same answer in every process.

Words are runs of letters, digits and underscores that begin with a letter or underscore, in the bytes read as UTF-8 with damaged
parts replaced. Identifiers come from `tokenize`, functions from `ast`. Some files of the standard library's tests are bad
on purpose (syntax, encodings): they have words, and neither identifiers nor functions.
"""

import ast
import io
import keyword
import re
import tokenize
import warnings
from typing import NamedTuple

WORD = re.compile(r"[^\W\d]\w*")
# Whatever the two parsers raise for a bad file: it is all the same here.
BAD = (SyntaxError, tokenize.TokenError, UnicodeError, ValueError, RecursionError, MemoryError)
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
BRANCH = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.BoolOp, ast.IfExp, ast.comprehension)


class Parsed(NamedTuple):
    name: str
    words: dict[str, int]
    identifiers: dict[str, int]
    functions: list[tuple[int, str, int, str]]  # lines, file, first line, name
    statistics: dict[str, int]


def parse(name: str, data: bytes) -> Parsed:
    text = data.decode("utf-8", "replace")
    words: dict[str, int] = {}
    for word in WORD.findall(text):
        words[word] = words.get(word, 0) + 1
    statistics = {"bytes": len(data), "lines": text.count("\n"), "words": sum(words.values()), "distinct": len(words)}
    try:
        identifiers, tokens, comments = _tokens(data)
        functions, classes, branches = _functions(name, data)
    except BAD:
        statistics["bad"] = 1
        return Parsed(name, words, {}, [], statistics)
    statistics.update(tokens=tokens, comments=comments, functions=len(functions), classes=classes, branches=branches)
    return Parsed(name, words, identifiers, functions, statistics)


def _tokens(data: bytes) -> tuple[dict[str, int], int, int]:
    identifiers: dict[str, int] = {}
    tokens = comments = 0
    for token in tokenize.tokenize(io.BytesIO(data).readline):
        tokens += 1
        if token.type == tokenize.NAME:
            if not keyword.iskeyword(token.string):
                identifiers[token.string] = identifiers.get(token.string, 0) + 1
        elif token.type == tokenize.COMMENT:
            comments += 1
    return identifiers, tokens, comments


def _functions(name: str, data: bytes) -> tuple[list[tuple[int, str, int, str]], int, int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(data)
    functions = []
    classes = branches = 0
    for node in ast.walk(tree):
        if isinstance(node, FUNCTION):
            functions.append(((node.end_lineno or node.lineno) - node.lineno + 1, name, node.lineno, node.name))
        elif isinstance(node, ast.ClassDef):
            classes += 1
        elif isinstance(node, BRANCH):
            branches += 1
    return functions, classes, branches
