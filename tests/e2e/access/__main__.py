"""Proves that access control holds: python3 access PART HOST PORT ROOT-CERTIFICATE DATA PEOPLE.

PART is a module here: matrix, tricks, mounts or names. DATA is the directory of the registry's images. PEOPLE has a line
for each user, NAME PASSWORD ROLE PATTERN... between tabs; the first is the owner, who fills the registry.

`contract` is the oracle, `wire` sends bytes, `shelf` knows what is stored, `proof` compares. Prints a table with a row for
each user, and whatever was answered otherwise than the oracle says; the exit code is 1 where anything was.
"""

import importlib
import sys

from contract import people
from proof import Proof
from shelf import Shelf


def main():
    part, host, port, root, data, file = sys.argv[1:]
    everybody = list(people(file))
    shelf = Shelf(host, int(port), root, data, everybody[0])
    shelf.fill()
    proof = Proof(shelf, part)
    importlib.import_module(part).prove(proof, everybody)
    return 0 if proof.end() else 1


sys.exit(main())
