"""Nothing is lost when things happen at once: python3 weave PART OPTION...

PART `random`: random pushes, overwritten tags, deletions and collections (`regcert gc` in all its forms) run at the same time, in
one interleaving after the other. After each, all that must be there by what was acknowledged (model.py) is pulled and compared
byte by byte. The clients retry nothing. The seed fixes what each worker does; the machine decides when.

Any other PART is a sequence that is known to be difficult, and the name of a function in directed.py.

Prints what it found; the exit status is 1 if anything was lost or went wrong.
"""

import argparse
import random
import sys
import time

import directed
from world import LOSSES, World


def interleavings(world):
    world.fill()
    start, number = time.monotonic(), 0
    while number < world.options.count and world.lost < LOSSES:
        world.interleave(number)
        number += 1
        if number % 50 == 0:
            print(f"{number} interleavings, {time.monotonic() - start:.0f} s, {world.lost} lost", flush=True)
    world.report(number, time.monotonic() - start)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("part")
    for name in ("host", "root", "directory", "data", "user", "password-file", "regcert"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--version", type=int, required=True, help="major version of the registry")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    world = World(options)
    if options.part == "random":
        interleavings(world)
    else:
        getattr(directed, options.part)(world)
        # As little as can be is left for what comes after.
        world.empty(list(world.model.manifests), world.pool.manifests)
    return 1 if world.errors else 0


sys.exit(main())
