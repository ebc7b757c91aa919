"""Sequences that are known to be difficult, each with two things at once."""

import collections
import contextlib
import fcntl
import glob
import json
import os
import random
import re
import signal
import subprocess
import sys
import termios
import threading
import time

from worker import Worker

UNTAGGED = ("gc", "--delete-untagged")


def worker(world, *repositories):
    world.repositories = list(repositories)
    return Worker(world, random.Random(world.options.seed), threading.Event(), 0)


def at_once(*tasks):
    """Runs them at the same time, and returns what they return."""
    answers, start = [None] * len(tasks), threading.Barrier(len(tasks))

    def run(number):
        start.wait()
        answers[number] = tasks[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def collect(world, *form):
    """All that is stored is old."""
    world.age(uploads=True)
    return collect_now(world, *form)


def collect_now(world, *form):
    done = world.regcert(*form)
    print(f"{' '.join(form)} -> {done.returncode}: {(done.stdout.strip() or done.stderr.strip().splitlines()[-1])}")
    return done


def part_deleted_elsewhere(world):
    """An index in two repositories, and one of its images deleted in the first."""
    hand, index = worker(world, "part/a", "part/b"), world.pool.indexes[0]
    for repository in world.repositories:
        hand.push_manifest(repository, "multi", index)
    hand.delete_manifest("part/a", world.pool.manifests[index].children[0])
    collect(world, *UNTAGGED)
    world.look(untagged_may_go=True)


def index_at_the_last_moment(world):
    """An index is pushed when a collection has looked around."""
    hand = worker(world, "late")
    for attempt in range(world.options.count):
        hand.push_manifest("late", "1", world.pool.images[-attempt])
        children = world.pool.manifests[world.pool.indexes[attempt]].children
        for child in children:
            hand.push_manifest("late", None, child)
        world.age(uploads=True)
        collection = world.start(*UNTAGGED)
        while (line := collection.stderr.readline()) and "found" not in line:
            pass
        hand.put("late", f"multi-{attempt}", world.pool.manifests[world.pool.indexes[attempt]])
        print(f"pushed after `{line.strip()}`; then: {collection.communicate()}")
        world.look(untagged_may_go=True)
        # Registry 2 collects nothing without a tag where an index is.
        world.empty(["late"], world.pool.indexes)


def back_at_the_last_moment(world):
    """What a collection has found to go is needed again before it goes. All else is older than its look."""
    hand, pool = worker(world, "back/tag", "back/index", "back/deleted", "back/layer", "back/rest"), world.pool
    index = pool.manifests[pool.indexes[2]]
    first, deleted, unfinished, last = pool.images[:4]
    for digest in (first, last):
        hand.push_manifest("back/tag", "1", digest)
        hand.push_manifest("back/rest", "1", digest)
    for child in index.children:
        hand.push_manifest("back/index", None, child)
    hand.push_manifest("back/deleted", "1", deleted)
    hand.delete_manifest("back/deleted", deleted)
    for blob in pool.manifests[unfinished].blobs:
        hand.upload("back/layer", blob)
    world.age(uploads=True)
    time.sleep(4)
    collection = world.start(*UNTAGGED)
    while (line := collection.stderr.readline()) and "found" not in line:
        pass
    hand.put("back/tag", "2", pool.manifests[first])
    hand.put("back/index", "1", index)
    hand.push_manifest("back/deleted", "2", deleted)
    came = [hand.client.end_upload(begun, blob, pool.blobs[blob], False).status if begun.status == 202 else begun.status
            for blob in pool.manifests[unfinished].blobs for begun in [hand.client.begin_upload("back/layer")]]
    print(f"pushed after `{line.strip()}`; then: {collection.communicate()}")
    is_whole = hand.put("back/layer", "1", pool.manifests[unfinished])
    print(f"uploads of layers that were to go: {came}; then the manifest is {'' if is_whole else 'not '}accepted")
    if not is_whole and set(came) == {201}:
        world.wrong("layers that were uploaded again were removed")
    if hand.client.has_manifest("back/rest", first):
        world.wrong("what lost its tag before was not removed")
    world.look(untagged_may_go=True)


def repository_without_a_tag(world):
    hand = worker(world, "tagged", "never-tagged")
    hand.push_manifest("tagged", "1", world.pool.images[0])
    hand.push_manifest("never-tagged", None, world.pool.images[1])
    if collect(world, *UNTAGGED).returncode != 0:
        world.wrong("a collection fails where a repository never had a tag")
    world.look(untagged_may_go=True)


def layers_before_and_manifest_after(world):
    """A push that a collection interrupts between its layers and its manifest."""
    hand, manifest = worker(world, "slow"), world.pool.manifests[world.pool.images[2]]
    for blob in manifest.blobs:
        hand.upload("slow", blob)
    for form in (("gc",), UNTAGGED):
        collect_now(world, *form)
    if not hand.put("slow", "1", manifest):
        world.wrong("its layers were removed")
    index = world.pool.manifests[world.pool.indexes[1]]
    for child in index.children:
        hand.push_manifest("slow", None, child)
    collect_now(world, *UNTAGGED)
    print(f"an index whose images came before the collection: {hand.client.put_manifest('slow', 'multi', index)}")
    world.look(untagged_may_go=True)


def manifest_that_takes_long(world):
    """The request for it begins before a collection, and ends while the collection refuses pushes."""
    hand, digest = worker(world, "long"), world.pool.images[3]
    manifest, refused = world.pool.manifests[digest], threading.Event()
    for blob in manifest.blobs:
        hand.upload("long", blob)
    world.age(uploads=True)

    def slowly():
        yield manifest.data[:40]
        refused.wait(120)
        time.sleep(2)
        yield manifest.data[40:]

    def push():
        start = time.monotonic()
        length = {"Content-Type": manifest.type, "Content-Length": str(len(manifest.data))}
        answer = hand.client.ask("PUT", "/v2/long/manifests/1", slowly(), length)
        world.model.pushed("long", "1", digest, start, time.monotonic(), answer.status == 201)
        print(f"the push: {answer}")

    pusher = threading.Thread(target=push)
    pusher.start()
    time.sleep(1)
    collection = world.start(*UNTAGGED)
    while (line := collection.stderr.readline()) and "refused" not in line:
        pass
    refused.set()
    print(f"the collection: {collection.communicate()}")
    pusher.join()
    world.look(untagged_may_go=True)


def killed_while_it_removes(world):
    """regcert alone is killed when its shell in the container knows what to remove, and a second collection comes. The shell is
    stopped meanwhile, as a busy machine would."""
    hand = worker(world, "removed")
    for image in world.pool.images:
        hand.push_manifest("removed", "latest", image)
    world.age(uploads=True)
    collection, shells = world.start(*UNTAGGED), []
    while (line := collection.stderr.readline()) and "refused" not in line:
        pass
    while collection.poll() is None and not shells:
        shells = processes("^sh -c .*patience=")
    for shell in shells:
        os.kill(shell, signal.SIGSTOP)
    waits = [waiting(shell, collection) for shell in shells]
    collection.kill()
    collection.communicate()
    if len(waits) != 1 or waits[0] == 0:
        world.wrong(f"nothing is shown: {len(waits)} shells were stopped, and what they are to do is {waits} bytes")
    second, start, answers = world.start(*UNTAGGED), time.monotonic(), collections.Counter()
    while time.monotonic() - start < 8:
        for number, image in enumerate(world.pool.images):
            answers[hand.push_manifest("removed", str(number), image)] += 1
    # The parts before can have left something.
    trash = f"{world.options.data}/docker/registry/v2/regcert-trash/*/*"
    moved = len(glob.glob(trash))
    for shell in shells:
        os.kill(shell, signal.SIGCONT)
    while set(shells) & set(processes("^sh -c .*patience=")):
        time.sleep(0.05)
    # The second one still has to look what is needed now.
    moved = len(glob.glob(trash)) - moved
    said, told = second.communicate()
    print(f"pushes meanwhile, by whether they are acknowledged: {dict(answers)}; moved then: {moved}; the second: {said.strip()}")
    if answers[True] or second.returncode != 0:
        world.wrong("pushes are taken while what a killed collection decided is still to be done")
    if moved <= 0:
        world.wrong("the killed collection removed nothing: nothing is shown")
    for number, image in enumerate(world.pool.images):
        if not hand.push_manifest("removed", str(number), image):
            world.wrong("what was removed cannot be pushed again")
    world.look(untagged_may_go=True)


def waiting(shell, collection):
    """The bytes that its stdin has for a process, when no more come."""
    bytes_, seen = 0, -1
    with contextlib.suppress(OSError), open(f"/proc/{shell}/fd/0", "rb", opener=lambda path, _: os.open(path, os.O_RDONLY | os.O_NONBLOCK)) as pipe:
        while collection.poll() is None and (bytes_ == 0 or bytes_ != seen):
            seen = bytes_
            time.sleep(0.5)
            bytes_ = int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
    return bytes_


def killed_before_it_frees_the_space(world):
    """What goes is moved, pushes are taken, and regcert and the removal end: nothing of it is needed, all of it goes later."""
    hand, signals = worker(world, "moved"), (signal.SIGKILL, signal.SIGINT)
    for number, ending in enumerate(signals):
        for image in world.pool.images:
            hand.push_manifest("moved", "latest", image)
        world.litter(3_000)
        world.age(uploads=True)
        collection, removals = world.start(*UNTAGGED), []
        while (line := collection.stderr.readline()) and "taken again" not in line:
            pass
        while collection.poll() is None and not removals:
            removals = processes("^rm -rf regcert-trash")
        # First the shell that would try again.
        removals = processes('^sh -c \ncd "') + removals if removals else []
        for removal in removals:
            os.kill(removal, signal.SIGSTOP)
        collection.send_signal(ending)
        collection.communicate()
        if not removals:
            world.wrong("the removal was over before it was seen: nothing is shown")
        for image in world.pool.images:
            if not hand.push_manifest("moved", image[7:19], image):
                world.wrong("a push of what was moved fails")
        told = world.regcert("status").stdout
        if "was interrupted left" not in told or "pushes may still be refused" not in told:
            world.wrong(f"status says {told}")
        if number == 0:
            # As where the machine goes down. The other one goes on beside the next collection.
            for removal in removals:
                os.kill(removal, signal.SIGKILL)
        announced = json.loads(world.regcert(*UNTAGGED, "--dry-run", "--json").stdout)
        for removal in removals if number == 1 else ():
            os.kill(removal, signal.SIGCONT)
        done = json.loads(world.regcert(*UNTAGGED, "--json").stdout)
        print(f"after {ending.name}: announced {announced['left']}, freed {done['freed']}")
        if announced["left"]["blobs"] == 0 or number == 0 and done["freed"] != announced["left"]:
            world.wrong("what was left was not freed, or not counted")
        if os.path.exists(f"{world.options.data}/docker/registry/v2/regcert-trash"):
            world.wrong("what was left is still there")
        if "gc:" in world.regcert("status").stdout:
            world.wrong("status still warns")
        world.look(untagged_may_go=True)


def processes(words):
    """The ids of the programs that run with these words, in a container or outside."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{process}/cmdline", encoding="utf-8", errors="replace") as line:
            if re.match(words, line.read().replace("\0", " "), re.DOTALL):
                found.append(int(process))
    return found


def tag_pushed_while_pulled(world):
    """What clients see of a tag that is given to one image after the other."""
    hand, images = worker(world, "pulled"), world.pool.images[:2]
    for image in images:
        hand.push_manifest("pulled", "latest", image)
    over, pulls, pushes = threading.Event(), collections.Counter(), collections.Counter()

    def pull():
        client = world.client()
        while not over.is_set():
            pulls[client.manifest("pulled", "latest").status] += 1

    pullers = [threading.Thread(target=pull) for _ in range(3)]
    for thread in pullers:
        thread.start()
    for number in range(world.options.count):
        start, manifest = time.monotonic(), world.pool.manifests[images[number % 2]]
        answer = hand.client.put_manifest("pulled", "latest", manifest)
        pushes[answer.status] += 1
        world.model.pushed("pulled", "latest", manifest.digest, start, time.monotonic(), answer.status == 201)
    over.set()
    for thread in pullers:
        thread.join()
    print(f"pushes by status {dict(pushes)}; pulls at the same time {dict(pulls)}")
    if world.version >= 3 and (set(pulls) | set(pushes)) != {200, 201}:
        world.wrong("registry 3 writes a tag in one step")
    world.look(untagged_may_go=False)


def push_beside_a_deletion(world):
    """Of one digest. The tag may go or stay, and must not be in the way of what comes after."""
    hand, other, digest = worker(world, "both"), worker(world, "both"), world.pool.images[0]
    manifest, found = world.pool.manifests[digest], collections.Counter()
    hand.name, other.name = "push", "deletion"
    for number in range(world.options.count):
        tag = f"new-{number}"
        hand.push_manifest("both", "old", digest)
        pushed, _ = at_once(lambda: hand.put("both", tag, manifest), lambda: other.delete_manifest("both", digest))
        is_whole = hand.client.manifest("both", tag).status == 200
        is_listed = f'"{tag}"'.encode() in hand.client.ask("GET", "/v2/both/tags/list").body
        found[f"the push is {'acknowledged' if pushed else 'refused'}, the tag {'is' if is_listed else 'is not'} listed and {'can' if is_whole else 'cannot'} be pulled"] += 1
        if is_listed and not is_whole:
            done = world.regcert("delete", f"both:{tag}", "--yes")
            found["then regcert delete: " + done.stderr.strip().splitlines()[0].replace(tag, "TAG").replace(digest, "DIGEST")] += 1
    for what, count in found.most_common():
        print(f"{count} times: {what}")
    if collect(world, *UNTAGGED).returncode != 0:
        world.wrong("a tag without a manifest is in the way of a collection")
    for number in range(world.options.count):
        hand.push_manifest("both", f"new-{number}", digest)
    world.look(untagged_may_go=False)


def reloads_beside_requests(world):
    """What clients see of nginx reading its configuration again each second."""
    hand, over, answers = worker(world, "reloaded"), threading.Event(), collections.Counter()
    # Registry 2 cannot hand out an image that is pushed again at that moment: each thread has its own, and one is only pulled.
    pulled, *pushed = world.pool.images[:5]
    for digest in (pulled, *pushed):
        hand.push_manifest("reloaded", digest[7:19], digest)

    def ask(digest):
        client, manifest = world.client(), world.pool.manifests[digest]
        while not over.is_set():
            answers["GET", client.manifest("reloaded", pulled[7:19]).status] += 1
            answers["PUT", client.put_manifest("reloaded", digest[7:19], manifest).status] += 1
            # Idle for as long as clients are between two layers.
            time.sleep(random.random() / 20)

    threads = [threading.Thread(target=ask, args=(digest,)) for digest in pushed]
    for thread in threads:
        thread.start()
    for _ in range(world.options.count):
        time.sleep(1)
        subprocess.run(["docker", "exec", world.nginx(), "nginx", "-s", "reload"], check=True, capture_output=True)
    over.set()
    for thread in threads:
        thread.join()
    print(f"answers by method and status: {dict(answers)} (0: no answer)")
    if unexpected := {status for _, status in answers} - {0, 200, 201}:
        world.wrong(f"a reload leads to {unexpected}")
    world.look(untagged_may_go=False)


def two_collections(world):
    """At once: one waits for nothing and says so, or both do their work."""
    hand = worker(world, "twice")
    for number in range(world.options.count):
        for image in world.pool.images[:6]:
            hand.push_manifest("twice", "latest", image)
        second = UNTAGGED if number % 2 else (*UNTAGGED, "--dry-run")
        world.age(uploads=True)
        for done in at_once(lambda: world.regcert(*UNTAGGED), lambda: world.regcert(*second)):
            said = done.stderr.strip()
            if done.returncode != 0 and "another" not in said:
                world.wrong(f"beside another collection: {said}")
        world.look(untagged_may_go=True)


def killed(world):
    """regcert alone is killed, at any moment of its work: pushes are taken soon after."""
    hand, longest = worker(world, "killed"), 0
    for _ in range(world.options.count):
        for image in world.pool.images:
            hand.push_manifest("killed", "latest", image)
        world.age(uploads=True)
        collection = world.start(*UNTAGGED)
        begun = time.monotonic()
        while hand.client.begin_upload("killed").status != 405 and collection.poll() is None:
            time.sleep(0.02)
        time.sleep(random.random() * 0.5)
        collection.kill()
        collection.communicate()
        start = time.monotonic()
        while hand.client.begin_upload("killed").status != 202:
            if time.monotonic() - start > 10:
                world.wrong(f"pushes are refused ten seconds after a kill, {start - begun:.1f} s after the start")
                break
            time.sleep(0.02)
        longest = max(longest, time.monotonic() - start)
    print(f"{world.options.count} kills; pushes taken again after {longest:.1f} s at most")
    world.look(untagged_may_go=True)
