"""What is pushed: few and small blobs, shared by images, which indexes share, so that each removal can hit another image."""

import hashlib
import json
from dataclasses import dataclass

IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Manifest:
    """An image, which names blobs, or an index, which names manifests."""

    digest: str
    type: str
    data: bytes
    blobs: tuple
    children: tuple


class Pool:
    def __init__(self, random, blobs=24, images=14, indexes=6):
        self.blobs, self.manifests = {}, {}
        layers = [self.blob(random.randbytes(random.randint(1, 400))) for _ in range(blobs)]
        self.images = [self.image(number, random.sample(layers, random.randint(1, 4))) for number in range(images)]
        self.indexes = [self.index(number, random.sample(self.images, random.randint(1, 3))) for number in range(indexes)]
        # An index can name an index.
        self.indexes.append(self.index(indexes, [self.indexes[0], self.images[0]]))

    def blob(self, data):
        self.blobs[digest_of(data)] = data
        return digest_of(data)

    def image(self, number, layers):
        config = self.blob(json.dumps({"architecture": "amd64", "os": "linux", "number": number}).encode())
        return self.manifest(IMAGE, [config, *layers], (), {
            "config": self.named("application/vnd.oci.image.config.v1+json", config, self.blobs[config]),
            "layers": [self.named("application/vnd.oci.image.layer.v1.tar", layer, self.blobs[layer]) for layer in layers],
        })

    def index(self, number, children):
        parts = [self.named(self.manifests[child].type, child, self.manifests[child].data) for child in children]
        return self.manifest(INDEX, (), children, {"manifests": parts, "annotations": {"number": str(number)}})

    def manifest(self, media_type, blobs, children, fields):
        data = json.dumps({"schemaVersion": 2, "mediaType": media_type, **fields}).encode()
        manifest = Manifest(digest_of(data), media_type, data, tuple(blobs), tuple(children))
        self.manifests[manifest.digest] = manifest
        return manifest.digest

    @staticmethod
    def named(media_type, digest, data):
        return {"mediaType": media_type, "size": len(data), "digest": digest}
