"""A space with a known content, so that a test can say that nothing was lost."""

import pso

CONTENT = {"word": "a longer text", "list": [1, 2.5, {"three": (3, b"bytes")}], "number": 2**80}


def whole(directory):
    """Nothing was lost: the space there holds what it held, and works."""
    with pso.attach(dir=directory) as space:
        assert space.root == CONTENT and space.fsck() == []
        space.root["new"] = [1]
        del space.root["new"]
    return True
