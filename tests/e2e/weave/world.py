"""The registry under test, what was done to it, and what was found."""

import collections
import contextlib
import json
import os
import random
import re
import statistics
import subprocess
import sys
import threading
import time

from client import Client, Registry
from content import Pool, digest_of
from model import Model
from worker import Puller, Worker

FORMS = (("gc",), ("gc", "--delete-untagged"), ("gc", "--dry-run"), ("gc", "--dry-run", "--delete-untagged"))
# A collection refuses itself, by what it finds, in these words.
REFUSALS = re.compile(r"another .*gc|registry \d+ would remove")
# Older than what a collection spares because its push may be under way, in seconds.
AGE = 2 * 86_400
# What is older than that before a collection looks counts as unchanged, in seconds.
SETTLES = 4
# Losses shown before the test ends: each following one can come from the first.
LOSSES = 5
KEPT = "kept"


class World:
    """One registry for a whole run."""

    def __init__(self, options):
        self.options = options
        self.registry = Registry(options.host, options.root, options.user, open(options.password_file).read().strip())
        self.version = options.version
        # Each part has its own: what another one left does not keep its blobs.
        self.pool = Pool(random.Random(f"{options.seed} {options.part}"))
        self.model = Model()
        self.repositories, self.indexes = [], True
        self.writes, self.log, self.errors = [], [], []
        self.lost = self.pulls = self.unanswered_pulls = 0
        self.kept = []
        self.collections, self.failures, self.refused_for = collections.Counter(), collections.Counter(), []
        self.announced = self.freed = self.quiet_rounds = 0
        self.main = self.client()

    def client(self):
        return Client(self.registry, self.writes)

    def regcert(self, *words):
        login = ("--user", self.options.user, "--password-file", self.options.password_file) if words[0] == "delete" else ()
        return subprocess.run(
            [self.options.regcert, "-C", self.options.directory, *words, *login], stdin=subprocess.DEVNULL, capture_output=True, text=True)

    def start(self, *words):
        # Ctrl-C ends it also where these tests run in the background.
        return subprocess.Popen(["env", "--default-signal=INT", self.options.regcert, "-C", self.options.directory, *words],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def nginx(self):
        """The id of its container."""
        return subprocess.run(["docker", "ps", "-q", "--filter", "label=com.docker.compose.service=nginx"],
                              check=True, capture_output=True, text=True).stdout.strip()

    def wrong(self, what):
        self.errors.append(what)
        print(f"WRONG: {what}", flush=True)

    def lose(self, what):
        self.lost += 1
        self.wrong(f"LOST {what}")

    # ---- one interleaving ----------------------------------------------------------

    def interleave(self, number):
        choice = random.Random(f"{self.options.seed}/{number}")
        self.log.clear()
        self.choose_repositories(number)
        form = choice.choices(FORMS, (4, 5, 1, 1))[0]
        if self.version < 3 and "--delete-untagged" in form and choice.random() < 0.8:
            # Where indexes are, registry 2 collects nothing without a tag: here they come meanwhile, or not at all.
            self.empty(self.repositories, self.pool.indexes)
            self.indexes = choice.random() < 0.5
        ended = threading.Event()
        quiet = choice.random() < 0.1
        self.age(uploads=True)
        if choice.random() < 0.1:
            # Now a collection looks again only at what changes from here on.
            time.sleep(SETTLES)
        workers = [] if quiet else [
            Worker(self, random.Random(f"{self.options.seed}/{number}/{worker}"), ended, 2) for worker in range(3)]
        puller = [Puller(self, KEPT, self.kept, ended)]
        for thread in workers + puller:
            thread.start()
        forms = [form] + ([FORMS[2]] if choice.random() < 0.1 else [])
        time.sleep(0 if quiet else choice.choice((0, 0.05, 0.2, 0.5)))
        collections = [threading.Thread(target=self.collect, args=(form, quiet)) for form in forms]
        for thread in collections:
            thread.start()
        # A push can take hours.
        ages = choice.random() < 0.5
        while any(thread.is_alive() for thread in collections):
            if ages:
                self.age(uploads=False)
            collections[0].join(0.2)
        ended.set()
        for thread in workers + puller:
            thread.join()
        self.indexes = True
        self.look(untagged_may_go=any("--delete-untagged" in form and "--dry-run" not in form for form in forms))

    def choose_repositories(self, number):
        """One of them is new every 20 times: in it everything happens for the first time."""
        newest = f"new-{number // 20}"
        if newest not in self.repositories:
            self.empty([repository for repository in self.repositories if repository.startswith("new-")], self.pool.manifests)
            self.repositories = ["a", "b", "b/c", newest]

    def collect(self, form, quiet):
        promised = self.announce(form) if quiet and "--dry-run" not in form else None
        before = self.on_disk() if promised is not None else 0
        first, start = len(self.writes), time.monotonic()
        done = self.regcert(*form, "--json")
        end = time.monotonic()
        self.log.append((start, end, f"{' '.join(form)} -> {done.returncode} {done.stdout.strip()} {done.stderr.strip()}"))
        self.collections[" ".join(form)] += 1
        if done.returncode != 0:
            error = re.sub(r"\d+", "N", next((line for line in done.stderr.splitlines() if line.startswith("error")), done.stderr))
            self.failures[error] += 1
            if not REFUSALS.search(done.stderr):
                self.wrong(f"{' '.join(form)} failed: {done.stderr.strip()}")
            return
        if refused := [write for write in self.writes[first:] if write[2] == 405]:
            again = [write[0] for write in self.writes[first:] if write[2] != 405 and write[0] > refused[-1][0]]
            self.refused_for.append(min([end, *again]) - refused[0][0])
        if promised is not None:
            freed = json.loads(done.stdout)["freed"]["bytes"]
            self.quiet_rounds += 1
            self.announced += promised
            self.freed += freed
            if not promised == freed == before - self.on_disk():
                self.wrong(f"{' '.join(form)}: announced {promised}, freed {freed}, on the disk {before - self.on_disk()} bytes")

    def age(self, uploads):
        """Makes what is stored old, and on request what was begun and never ended."""
        then = time.time() - AGE
        for directory, _, files in os.walk(f"{self.options.data}/docker/registry/v2"):
            for file in files:
                if uploads or "/_uploads" not in directory:
                    with contextlib.suppress(FileNotFoundError):
                        os.utime(os.path.join(directory, file), (then, then))

    def litter(self, count):
        """Blobs that no manifest names, so that a removal takes a while."""
        top = f"{self.options.data}/docker/registry/v2/blobs/sha256"
        owner = os.stat(top)
        for number in range(count):
            data = b"litter %d" % number
            name = digest_of(data).removeprefix("sha256:")
            for path in (f"{top}/{name[:2]}", f"{top}/{name[:2]}/{name}"):
                os.makedirs(path, exist_ok=True)
                os.chown(path, owner.st_uid, owner.st_gid)
            with open(f"{path}/data", "wb") as file:
                file.write(data)

    def announce(self, form):
        done = self.regcert(*form, "--dry-run", "--json")
        return json.loads(done.stdout)["garbage"]["bytes"] if done.returncode == 0 else None

    def on_disk(self):
        """The bytes of all blobs."""
        return sum(os.path.getsize(os.path.join(directory, "data"))
                   for directory, _, files in os.walk(f"{self.options.data}/docker/registry/v2/blobs") if "data" in files)

    # ---- what is there -----------------------------------------------------------

    def problems(self, client, repository, digest, seen=None):
        """What of an image or an index cannot be pulled whole. A part that was deleted on its own is none."""
        seen = {} if seen is None else seen
        if (repository, digest) in seen:
            return seen[repository, digest]
        manifest, found = self.pool.manifests[digest], []
        answer = client.manifest(repository, digest)
        if answer.status != 200 or answer.body != manifest.data:
            found.append(f"manifest {digest[7:19]}: {answer}")
        else:
            for blob in manifest.blobs:
                if (repository, blob) not in seen:
                    part = client.blob(repository, blob)
                    is_whole = part.status == 200 and part.body == self.pool.blobs[blob]
                    seen[repository, blob] = [] if is_whole else [f"{digest[7:19]}: blob {blob[7:19]}: {part}"]
                found += seen[repository, blob]
            for child in manifest.children:
                problems = self.problems(client, repository, child, seen)
                is_gone = any(problem.startswith(f"manifest {child[7:19]}: 404") for problem in problems)
                if not (is_gone and False in self.model.stored(repository, child)):
                    found += problems
        seen[repository, digest] = found
        return found

    def look(self, untagged_may_go):
        seen, lost = {}, self.lost
        for repository in [KEPT, *self.repositories]:
            tags, digests = self.model.known(repository)
            named = {tag: self.look_at_tag(repository, tag, seen) for tag in tags}
            manifests = {}
            for digest in digests:
                problems = self.problems(self.main, repository, digest, seen)
                if problems and not untagged_may_go and self.model.stored(repository, digest) == {True}:
                    self.lose(f"{repository}@{digest[7:19]}: {problems}")
                manifests[digest] = not problems
            self.model.observe(repository, named, manifests)
        if self.lost > lost:
            self.tell()

    def look_at_tag(self, repository, tag, seen):
        may_be, answer = self.model.named_by(repository, tag), self.main.manifest(repository, tag)
        found = digest_of(answer.body) if answer.status == 200 else None
        if found not in may_be and may_be != {None} or answer.status not in (200, 404):
            expected = " or ".join(str(value)[7:19] for value in may_be)
            self.lose(f"{repository}:{tag} is {found and found[7:19]} ({answer}) instead of {expected}")
        elif found and (problems := self.problems(self.main, repository, found, seen)):
            self.lose(f"{repository}:{tag} is not whole: {problems}")
        return found

    def tell(self):
        """The operations since all was whole."""
        print(f"the operations, with seed {self.options.seed}:")
        for start, end, what in sorted(self.log):
            print(f"  {start:.3f} to {end:.3f}  {what}")

    # ---- before and after ----------------------------------------------------------

    def fill(self):
        """Images that no operation touches, while what they share comes and goes around them."""
        self.repositories = [KEPT]
        worker = Worker(self, random.Random(0), threading.Event(), 0)
        self.kept = self.pool.images[:3]
        for number, digest in enumerate(self.kept):
            if not worker.push_manifest(KEPT, str(number), digest):
                sys.exit("the registry takes no push")

    def empty(self, repositories, digests):
        worker = Worker(self, random.Random(0), threading.Event(), 0)
        for repository in repositories:
            for digest in self.model.known(repository)[1]:
                if digest in digests:
                    worker.delete_manifest(repository, digest)

    def report(self, number, seconds):
        forms = ", ".join(f"{count} `{form}`" for form, count in sorted(self.collections.items()))
        print(f"interleavings: {number} in {seconds:.0f} s ({forms}), seed {self.options.seed}")
        statuses = collections.Counter(status for _, _, status in self.writes)
        print(f"requests that write: {len(self.writes)}; by status {dict(sorted(statuses.items()))} (0: no answer)")
        print(f"pulls during collections: {self.pulls}, without an answer {self.unanswered_pulls}")
        if self.refused_for:
            print(f"pushes refused for: median {statistics.median(self.refused_for):.2f} s, longest {max(self.refused_for):.2f} s")
        print(f"bytes freed {self.freed}, announced {self.announced}, in {self.quiet_rounds} collections without clients")
        for error, count in self.failures.most_common():
            print(f"{count} collections ended with: {error}")
        print(f"wrong: {len(self.errors)}; images lost: {self.lost}")
