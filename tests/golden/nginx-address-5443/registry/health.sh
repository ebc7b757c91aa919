#!/bin/sh
# Docker runs this in the registry's container every ten seconds. The container is healthy if the
# registry answers and if its storage can be read and written: the registry itself stays "healthy" on a disk that is
# full, read-only or gone. Written by regcert; an edit by hand is kept, and `regcert init --force` writes over it.
set -eu

# With the program that the image has; an image with neither is judged by its storage alone. A proxy that the Docker client
# hands to containers is for other machines.
fetch() { # PATH
    if command -v wget >/dev/null; then
        http_proxy='' wget -q -O - "http://127.0.0.1:8081$1"
    elif command -v curl >/dev/null; then
        curl -qfsS --noproxy '*' "http://127.0.0.1:8081$1"
    fi
}

unusable() {
    echo "the storage of the registry cannot be $1: $2"
    exit 1
}

# The mark of a `regcert gc` that was killed, by the id of the shell in this container that made it.
mark=/run/regcert/read-only
if [ -s $mark ] && ! kill -0 "$(cat $mark)" 2>/dev/null; then
    rm -f $mark
fi

answer=$(fetch /debug/health) || {
    echo "the registry does not answer, or has lost its storage: $answer"
    exit 1
}

cd /var/lib/registry || unusable read /var/lib/registry
# First of all, because a write that fails says why: the disk is full, or read-only, or of another user.
probe=.regcert-health
echo 'written by the health check' >$probe || unusable written /var/lib/registry
read -r line <$probe || unusable read /var/lib/registry
# The file may be there from before the directory became another user's.
rm -f $probe || unusable written /var/lib/registry
[ "$line" = 'written by the health check' ] || unusable read /var/lib/registry
for part in docker docker/registry/v2 docker/registry/v2/blobs docker/registry/v2/repositories; do
    # A new registry has none of them.
    [ -e "$part" ] || continue
    ls "$part" >/dev/null || unusable read "/var/lib/registry/$part"
    [ -w "$part" ] || unusable written "/var/lib/registry/$part"
done
