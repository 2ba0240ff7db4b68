"""Random choice by name."""


def pick(rng, names):
    """One of `names`, each as likely as the others; repeat a name to favour it."""
    names = tuple(names)
    return names[int(rng.integers(len(names)))]
