"""What the cases push: made up, small, and the same in each run and on each side."""
import hashlib
import json

NAME, OTHER = "conformance/app", "conformance/mounted"
MANIFEST, INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
CONFIG, LAYER = "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip"
BINARY = {"Content-Type": "application/octet-stream"}
ACCEPT = {"Accept": MANIFEST}

# Gone, not there, or not to be deleted: what a clean-up may be answered.
REMOVED = (*range(200, 300), 404, 405)
# Of what was pushed a moment ago, gone is the one thing that it must not be already.
DELETED = (*range(200, 300), 405)
CREATED = tuple(range(200, 300))


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def noise(seed, size):
    return hashlib.shake_256(seed.encode()).digest(size)


def descriptor(media_type, content, **more):
    return {"mediaType": media_type, "size": len(content), "digest": digest(content), **more}


def config(number):
    content = {"architecture": "amd64", "author": f"case {number}", "os": "linux"}
    return json.dumps({**content, "rootfs": {"type": "layers", "diff_ids": []}}, indent=1).encode()


def manifest(number, layers=None, **more):
    layers = [descriptor(LAYER, layer)] if layers is None else layers
    # A property that no specification knows must not be in the way.
    described = descriptor(CONFIG, configs[number], newUnspecifiedField="aGVsbG8=")
    return image(described, layers, **more)


def image(described, layers, **more):
    content = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": layers, **more}
    return json.dumps(content, indent=1).encode()


layer = noise("layer", 300)
# One for each category, and the subject of the referrers.
configs = [config(number) for number in range(6)]
manifests = [manifest(number) for number in range(6)]
without_layers = manifest(1, layers=[])
unknown_layers = manifest(1, layers=[descriptor(LAYER, b"never pushed")])

blob = noise("streamed", 42)
chunked = noise("chunked", 42)
FIRST, SECOND = chunked[:22], chunked[22:]
FIRST_RANGE, SECOND_RANGE = "0-21", "22-41"

ABSENT = digest(b"this was not pushed")
NO_MANIFEST = ".INVALID_MANIFEST_NAME"
TAG = "tagtest0"

# Of the referrers: an artifact type is told by the configuration or by `artifactType`, and two of each have one.
EMPTY = b"{}"
empty = descriptor("application/vnd.oci.empty.v1+json", EMPTY)
ARTIFACTS = {"a": ("application/vnd.example.first", b"the first thing that refers"),
             "b": ("application/vnd.example.second", b"the second thing that refers")}


def artifact(letter, kind, subject):
    media_type, content = ARTIFACTS[letter]
    more = {"subject": descriptor(MANIFEST, subject), "annotations": {"org.example.case": f"{kind} {letter}"}}
    if kind == "config":
        return image(descriptor(media_type, content), [empty], **more)
    return image(empty, [descriptor(media_type, content)], artifactType=media_type, **more)


subject, absent_subject = manifests[4], manifests[3]
referrers = {(letter, kind): artifact(letter, kind, subject) for letter in "ab" for kind in ("config", "layer")}
of_absent = artifact("b", "layer", absent_subject)
referring_index = json.dumps({
    "schemaVersion": 2, "mediaType": INDEX, "artifactType": "application/vnd.example.index",
    "manifests": [descriptor(MANIFEST, referrers["a", kind]) for kind in ("config", "layer")],
    "subject": descriptor(MANIFEST, subject), "annotations": {"org.example.case": "index"},
}, indent=1).encode()


def blobs(reference, name=NAME):
    return f"/v2/{name}/blobs/{reference}"


def uploads(name=NAME):
    return f"/v2/{name}/blobs/uploads/"


def at(reference, name=NAME):
    return f"/v2/{name}/manifests/{reference}"
