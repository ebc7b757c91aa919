"""Random operations, step by step, beside those of other workers and of the collection."""

import re
import subprocess
import threading
import time

from content import digest_of

# The push needs what is gone again: nothing was written.
MISSING = ("MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN", "NAME_UNKNOWN", "BLOB_UPLOAD_UNKNOWN")
REFUSED = 405
# After a refusal, before the next operation.
REST = 0.03


class Worker(threading.Thread):
    def __init__(self, world, random, until, least):
        super().__init__(daemon=True)
        self.world, self.random, self.until, self.least = world, random, until, least
        self.client = world.client()

    def run(self):
        operations = {self.push: 50, self.push_index: 16, self.retag: 10, self.delete: 8, self.untag: 5, self.regcert_delete: 2}
        try:
            while self.least > 0 or not self.until.is_set():
                self.least -= 1
                self.random.choices(list(operations), operations.values())[0](self.random.choice(self.world.repositories))
                self.pause()
        except Exception as error:
            self.world.wrong(f"a worker failed: {error!r}")
            raise
        finally:
            self.client.close()

    def pause(self):
        time.sleep(self.random.choice((0, 0, 0.01, 0.05, 0.05, 0.2)))

    # ---- what it does ------------------------------------------------------------

    def push(self, repository):
        self.push_manifest(repository, self.some_tag(), self.random.choice(self.world.pool.images))

    def push_index(self, repository):
        if self.world.indexes:
            self.push_manifest(repository, self.some_tag(), self.random.choice(self.world.pool.indexes))

    def some_tag(self):
        return self.random.choice((None, "1", "2", "3", "latest"))

    def push_manifest(self, repository, tag, digest):
        """Blobs first, then the manifests that it names, then itself. True if the registry has it."""
        manifest = self.world.pool.manifests[digest]
        for child in manifest.children:
            if not self.push_manifest(repository, None, child):
                return False
        for blob in manifest.blobs:
            if not self.upload(repository, blob):
                return False
            self.pause()
        if not tag and self.random.random() < 0.3 and self.client.has_manifest(repository, digest):
            return True
        return self.put(repository, tag, manifest)

    def put(self, repository, tag, manifest):
        start = time.monotonic()
        answer = self.client.put_manifest(repository, tag or manifest.digest, manifest)
        written = answer.status == 201
        self.say(start, "push", repository, tag or "", manifest.digest, answer)
        if written or not (answer.status == REFUSED or answer.code() in MISSING):
            self.world.model.pushed(repository, tag, manifest.digest, start, time.monotonic(), written)
        self.rest_after(answer)
        return written

    def upload(self, repository, blob):
        if self.client.has_blob(repository, blob):
            return True
        data, start = self.world.pool.blobs[blob], time.monotonic()
        source = self.random.choice(self.world.repositories) if self.random.random() < 0.4 else None
        answer = self.client.begin_upload(repository, blob, source)
        if answer.status == 202:
            self.pause()
            answer = self.client.end_upload(answer, blob, data, self.random.random() < 0.3)
        self.say(start, "upload", repository, f"from {source}" if source else "", blob, answer)
        self.rest_after(answer)
        return answer.status == 201

    def retag(self, repository):
        answer = self.client.manifest(repository, self.random.choice("123"))
        if answer.status == 200:
            self.pause()
            self.put(repository, self.some_tag(), self.world.pool.manifests[digest_of(answer.body)])

    def delete(self, repository):
        _, digests = self.world.model.known(repository)
        if digests:
            self.delete_manifest(repository, self.random.choice(digests))

    def delete_manifest(self, repository, digest):
        start = time.monotonic()
        answer = self.client.delete(repository, digest)
        self.say(start, "delete", repository, "", digest, answer)
        if answer.status not in (REFUSED, 404):
            self.world.model.deleted(repository, digest, start, time.monotonic(), answer.status == 202)
        self.rest_after(answer)

    def untag(self, repository):
        """Registry 2 cannot."""
        if self.world.version < 3:
            return
        tag, start = self.some_tag() or "1", time.monotonic()
        answer = self.client.delete(repository, tag)
        self.say(start, "untag", repository, tag, "", answer)
        if answer.status not in (REFUSED, 404):
            self.world.model.untagged(repository, tag, start, time.monotonic(), answer.status == 202)
        self.rest_after(answer)

    def regcert_delete(self, repository):
        tag, start = self.some_tag() or "1", time.monotonic()
        options = ("--break-index",) if self.random.random() < 0.5 else ()
        done = self.world.regcert("delete", f"{repository}:{tag}", "--yes", *options)
        end, said = time.monotonic(), done.stderr.strip().replace("\n", "; ")
        self.say(start, "regcert delete", repository, tag, "", f"{done.returncode} {said}")
        found = re.search(r" is (sha256:[0-9a-f]{64})", said)
        refused = "the deletion is refused" in said or "is a part of" in said
        if not found or (done.returncode != 0 and refused):
            return
        if "only this tag goes" in said:
            self.world.model.untagged(repository, tag, start, end, done.returncode == 0)
        else:
            self.world.model.deleted(repository, found[1], start, end, done.returncode == 0)

    # ---- what is noted -----------------------------------------------------------

    def say(self, start, what, repository, tag, digest, answer):
        name = f"{repository}:{tag}" if tag else repository
        self.world.log.append((start, time.monotonic(), f"{self.name}: {what} {name} {digest[7:19]} -> {answer}"))

    def rest_after(self, answer):
        if answer.status == REFUSED:
            time.sleep(REST)


class Puller(threading.Thread):
    """Pulls images that no one changes, and compares them."""

    def __init__(self, world, repository, digests, until):
        super().__init__(daemon=True)
        self.world, self.repository, self.digests, self.until = world, repository, digests, until
        self.client = world.client()

    def run(self):
        while not self.until.is_set():
            for digest in self.digests:
                self.world.pulls += 1
                for problem in self.world.problems(self.client, self.repository, digest):
                    if problem.endswith(" 0"):
                        self.world.unanswered_pulls += 1
                    else:
                        self.world.wrong(f"a pull failed during a collection: {self.repository}: {problem}")
                time.sleep(0.05)
        self.client.close()
