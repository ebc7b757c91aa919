"""The cases of the OCI distribution specification's conformance tests, each tried twice: against the registry itself,
and through what stands before it.

    python3 conformance --bare URL --proxied URL --certificate FILE --user NAME [--list]

The password comes on standard input. The cases are those of the official suite, in its order, written afresh: that suite
is a program in Go, and what is asked here besides is whether the two answers are the same, header by header.

A case passes on a side where all statuses and bodies are such as the specification has them. It is different where
the answers are not equal: host, upload and its state aside, and the headers of `CARRIAGE`. Prints each case with its
endpoint, the statuses of both sides and a verdict, then a line for each category. The exit status is 1 where something
is different, or fails through the proxy alone.
"""
import argparse
import difflib
import sys

from beyond import beyond
from client import Side
from discovery import discovery
from management import management
from pull import pull
from push import push

CATEGORIES = (pull, push, discovery, management, beyond)
# Where nginx answers otherwise on purpose, and why.
NO_PART = "nginx says so itself, and, as RFC 9110 (15.5.17) has it, how long the blob is"
METHODS = "nginx lets no method through that no role is for"
EXCUSED = {
    "GET with Range: bytes=10-5": NO_PART,
    "GET with Range: bytes=300-": NO_PART,
    "GET of a part of the empty blob": "registry 2.8.2 answers 416, later ones 200 as nginx does",
    "a method that does not exist": METHODS,
    "OPTIONS": METHODS,
}


class Count:
    def __init__(self):
        self.cases = self.different = self.excused = self.alone = 0
        self.passed = {"bare": 0, "proxied": 0}
        # What the registry fails, with nginx or without.
        self.failing = []


def tried(case, side):
    side.answers, side.complaints = [], []
    case.run(side)
    return side.answers


def differences(bare, proxied):
    lines = []
    for one, other in zip(bare.answers, proxied.answers):
        diff = list(difflib.unified_diff(bare.said(one), proxied.said(other), lineterm="", n=0))
        if diff:
            lines += [bare.plain(one.request), *(line for line in diff[2:] if not line.startswith("@@"))]
    if len(bare.answers) != len(proxied.answers):
        lines.append(f"{len(bare.answers)} requests, {len(proxied.answers)} through the proxy")
    return lines


def statuses(side):
    """Each status once, as often as it comes in a row: twenty of 202 say no more than one."""
    found = [str(answer.status) for answer in side.answers]
    return " ".join(one for place, one in enumerate(found) if place == 0 or found[place - 1] != one) or "-"


def verdict(case, bare, different):
    if different:
        return "different, excused" if case.name in EXCUSED else "DIFFERENT"
    if not bare.answers:
        return "does not apply"
    return "same; the registry fails" if bare.complaints else "same"


def report(case, sides, count):
    bare, proxied = sides
    for side in sides:
        tried(case, side)
        count.passed[side.name] += not side.complaints
    different = differences(bare, proxied)
    count.cases += 1
    count.different += bool(different) and case.name not in EXCUSED
    count.excused += bool(different) and case.name in EXCUSED
    if bare.complaints:
        count.failing.append(f"{case.section}: {case.name}")
    count.alone += bool(proxied.complaints) and not bare.complaints
    both = f"{statuses(bare):<16} {statuses(proxied):<16}"
    print(f"  {case.section:<13} {case.name:<50} {both} {verdict(case, bare, different)}")
    if bare.complaints or proxied.complaints:
        print(f"      must: {case.must}")
    for side in sides:
        for complaint in side.complaints:
            print(f"      {side.name} fails: {side.plain(complaint)}")
    if different and case.name in EXCUSED:
        print(f"      excused: {EXCUSED[case.name]}")
    for line in different:
        print(f"      {line[:160]}")


def arguments():
    parser = argparse.ArgumentParser()
    for option in ("bare", "proxied", "certificate", "user"):
        parser.add_argument(f"--{option}", required=True)
    return parser.parse_args()


def table(counts):
    heads = ("cases", "bare passed", "failed", "proxied passed", "failed", "different", "excused")
    print("\n" + " " * 19, *heads)
    for name, count in counts.items():
        passed = [figure for side in count.passed.values() for figure in (side, count.cases - side)]
        row = (count.cases, *passed, count.different, count.excused)
        print(f"{name:<19}", *(f"{figure:>{len(head)}}" for head, figure in zip(heads, row)))


def main():
    if "--list" in sys.argv[1:]:
        for category in CATEGORIES:
            for case in category.cases:
                print(f"{category.name:<19} {case.section:<13} {case.name:<50} {case.must}")
        return 0
    given = arguments()
    password = sys.stdin.readline().rstrip("\n")
    sides = (Side("bare", given.bare), Side("proxied", given.proxied, given.certificate, given.user, password))
    counts = {}
    for category in CATEGORIES:
        print(f"\n{category.name:<66} {'bare':<16} proxied")
        count = counts[category.name] = Count()
        for case in category.cases:
            report(case, sides, count)
    print("\nthe registry itself fails:")
    for count in counts.values():
        for failing in count.failing:
            print(f"  {failing}")
    table(counts)
    return int(any(count.different or count.alone for count in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
