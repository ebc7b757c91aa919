"""What must be in the registry, by what was acknowledged, whatever the order in which requests at the same time took effect."""

import threading
from collections import defaultdict
from dataclasses import dataclass

FOREVER = float("inf")


@dataclass
class Event:
    """A tag or a manifest gets a value: a digest or None, True or False. `only` restricts it to one earlier value."""

    start: float
    end: float
    value: object
    # An answer came and told that it is so.
    certain: bool = True
    only: str = None


def possible(events):
    """The values that can be there when all is quiet: of events that no certain one surely followed."""
    def replaced(event, before=FOREVER):
        return any(later.certain and later.start > event.end and later.end < before and later.only in (None, event.value) for later in events)

    def happened(event):
        return not event.only or any(
            other.value == event.only and other.start < event.end and not replaced(other, event.start) for other in events)

    return {event.value for event in events if not replaced(event) and happened(event)}


class Model:
    """Tags and manifests by repository, each with what happened to it since it was looked at last."""

    def __init__(self):
        self.lock = threading.Lock()
        self.tags = defaultdict(lambda: defaultdict(self.absent(None)))
        self.manifests = defaultdict(lambda: defaultdict(self.absent(False)))
        self.deletions = defaultdict(list)

    @staticmethod
    def absent(value):
        return lambda: [Event(0, 0, value)]

    def pushed(self, repository, tag, digest, start, end, certain):
        with self.lock:
            end = end if certain else FOREVER
            self.manifests[repository][digest].append(Event(start, end, True, certain))
            if tag:
                self.tags[repository][tag].append(Event(start, end, digest, certain))

    def deleted(self, repository, digest, start, end, certain):
        """With every tag that names it."""
        with self.lock:
            end = end if certain else FOREVER
            self.manifests[repository][digest].append(Event(start, end, False, certain))
            self.deletions[repository].append(Event(start, end, None, certain, only=digest))

    def untagged(self, repository, tag, start, end, certain):
        with self.lock:
            self.tags[repository][tag].append(Event(start, end if certain else FOREVER, None, certain))

    def named_by(self, repository, tag):
        """The digests that the tag can name, None where it can be missing."""
        with self.lock:
            return possible(self.tags[repository][tag] + self.deletions[repository])

    def stored(self, repository, digest):
        """Whether the repository can have the manifest, can lack it, or both."""
        with self.lock:
            return possible(self.manifests[repository][digest])

    def known(self, repository):
        """Tags and digests that were pushed there."""
        with self.lock:
            return list(self.tags[repository]), list(self.manifests[repository])

    def observe(self, repository, tags, manifests):
        """What was seen when all was quiet is where the next events begin."""
        self.deletions[repository] = []
        self.tags[repository] = defaultdict(self.absent(None), {tag: [Event(0, 0, value)] for tag, value in tags.items()})
        self.manifests[repository] = defaultdict(self.absent(False), {digest: [Event(0, 0, value)] for digest, value in manifests.items()})
