#!/bin/sh
# Makes this machine trust registry1.myhouse.local; `--uninstall` undoes it. Nothing in it is secret.
#
# Written by regcert. `sh install.sh --help` has the options, `--dry-run` shows what it would do. It keeps a list of
# what it put here, with digests: it writes over nothing and removes nothing that is not on it.
# shellcheck disable=SC2016  # back-ticks in messages are meant
set -euf
umask 022
LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH

# Each name and port of the registry: as in an image's name, with the port always, and its directory in containerd's
# configuration. The first one also names the list of what is put here.
places='registry1.myhouse.local registry1.myhouse.local:443 registry1.myhouse.local
registry1.myhouse.local:5443 registry1.myhouse.local:5443 registry1.myhouse.local_5443_
registry1:5443 registry1:5443 registry1_5443_
alias.myhouse.local alias.myhouse.local:443 alias.myhouse.local
alias.myhouse.local:5443 alias.myhouse.local:5443 alias.myhouse.local_5443_
10.99.0.2 10.99.0.2:443 10.99.0.2
10.99.0.2:5443 10.99.0.2:5443 10.99.0.2_5443_
[fd00::2] [fd00::2]:443 [fd00::2]
[fd00::2]:5443 [fd00::2]:5443 [fd00::2]_5443_
'
# The root to stay comes first; there are two while the authority is being rotated.
stems='root-cert-myhouse.local-bac5c0c2'

pem() { # STEM
    case $1 in
    root-cert-myhouse.local-bac5c0c2)
        cat <<'CERTIFICATE'
-----BEGIN CERTIFICATE-----
MIICNjCCAdugAwIBAgIQcrpWi5y9CR7KhG4JFXwAXTAKBggqhkjOPQQDAjBPMQsw
CQYDVQQGEwJDQTELMAkGA1UECAwCT04xCzAJBgNVBAoMAk5BMSYwJAYDVQQDDB1m
ZDAwOjoxMiBSb290IENBIDIwMjYuMTEuMjEuMTAeFw0yNjExMjEwOTM1MTZaFw0z
NjExMTgwOTM1MTVaME8xCzAJBgNVBAYTAkNBMQswCQYDVQQIDAJPTjELMAkGA1UE
CgwCTkExJjAkBgNVBAMMHWZkMDA6OjEyIFJvb3QgQ0EgMjAyNi4xMS4yMS4xMFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAELl4MwoWLcmJZScA3Lp1itlXfb3feQadr
UeMeAsnmqozUvhAqk4SbvgfLqQ5q+2jGVDbvOhHxw5fKQqmQuhZjoaOBmDCBlTAO
BgNVHQ8BAf8EBAMCAQYwUAYDVR0eAQH/BEYwRKA0MA6CDG5vbmUuaW52YWxpZDAi
hyD9AAAAAAAAAAAAAAAAAAAS/////////////////////6EMMAqHCAAAAAAAAAAA
MB0GA1UdDgQWBBRkkvPIZUBpuuO/bPbI7VjXC1zorDASBgNVHRMBAf8ECDAGAQH/
AgEBMAoGCCqGSM49BAMCA0kAMEYCIQCp+ZPGkDYu0kMMrBwdqimgHDOdywlCibVz
gqrikglubAIhAKmWv96C+ezF4UeAU5tSkYbrhtQLpoQc93dpVzVtAlIM
-----END CERTIFICATE-----
CERTIFICATE
        ;;
    esac
}

newline='
'

# Runtimes look for a root by name and port, to the letter.
at_place() { # PLACE
    registry=${1%% *} directory=${1##* } host_port=${1#* }
    host_port=${host_port% *}
}

at_each_place() { # COMMAND...
    IFS=$newline
    for place in $places; do
        unset IFS
        at_place "$place"
        "$@"
    done
    unset IFS
    at_place "$first"
}
# Within quotes, posh does not take it off.
first=${places%%"$newline"*}
at_place "$first"

usage() {
    cat <<USAGE
usage: sh install.sh [OPTION...]

Makes this machine trust $registry: the system's store and every container
runtime found here. As an ordinary user, only what is yours: rootless Docker,
Podman, minikube. In an image that is being built:
chroot DIR sh -s -- --yes <install.sh

  --fingerprint SHA256  go on only if the root certificate has this one; ask nothing
  --yes                 ask nothing
  --ask                 ask, even with --fingerprint
  --dry-run             show what would be done, and do nothing
  --quiet               say only what went wrong and what is left to you;
                        what is asked about is shown
  --address ADDRESS     the registry's address: add its name to /etc/hosts, if this
                        machine does not find it
  --no-system           leave the system's store and /etc/hosts alone
  --restart             also restart what must be restarted, by systemctl:
                        containerd, k3s, RKE2; what runs in pods runs on
  --verify              also take the registry out of what Docker and Podman do
                        not verify: \`insecure-registries\` in daemon.json,
                        \`insecure = true\` in registries.conf
  --check               change nothing: say of each runtime here whether it
                        trusts the registry by each of its names, and whether
                        it verifies the registry at all, one a line:
                        NAME, STATE, MESSAGE, CURE, with tabs between
  --cure COMMAND        with --check: the cure to name, in place of this script
  --uninstall           take away what this script has put here
  --all                 with --uninstall: also what it has put here for other
                        registries of this authority, and for other names and
                        ports that this one had
  --help                show this

Exit code: 0 done; 1 failed, and nothing is half done; 2 a wrong option;
3 done, and something is left to you (it is listed), or --check found
something broken.
USAGE
}

# ---- talking ---------------------------------------------------------------

quiet=no

tell() { printf '%s\n' "$*" >&2; }

say() { if [ "$quiet" = no ]; then tell "$*"; fi; }

fail() { # MESSAGE [HINT]
    tell "error: $1"
    if [ -n "${2-}" ]; then tell "hint: $2"; fi
    exit 1
}

misuse() { # MESSAGE
    tell "error: $1"
    tell 'hint: `sh install.sh --help` has the options'
    exit 2
}

# Asks on the terminal; stdin may be this script.
confirm() { # QUESTION
    if ! (: </dev/tty) 2>/dev/null; then
        fail 'there is no terminal to ask on' 'compare the fingerprint, then say --yes'
    fi
    printf '%s [y/N] ' "$1" >/dev/tty
    read -r answer </dev/tty || answer=
    case $answer in
    y | Y | yes | Yes | YES) ;;
    *) fail 'not confirmed: nothing was changed' ;;
    esac
}

# ---- the command line ------------------------------------------------------

options() {
    action=install asking='' dry=no system=yes given='' all=no restarting=no verifying=no cure_by='sudo sh install.sh' address=''
    while [ $# -gt 0 ]; do
        case $1 in
        --fingerprint)
            if [ $# -lt 2 ]; then misuse '`--fingerprint` needs a value'; fi
            given=$(normal "$2")
            shift
            ;;
        --fingerprint=*) given=$(normal "${1#*=}") ;;
        --yes) asking=no ;;
        --ask) asking=yes ;;
        --dry-run) dry=yes ;;
        --quiet) quiet=yes ;;
        --no-system) system=no ;;
        --uninstall) action=uninstall ;;
        --restart) restarting=yes ;;
        --address)
            if [ $# -lt 2 ]; then misuse '`--address` needs a value'; fi
            address=$2
            shift
            ;;
        --address=*) address=${1#*=} ;;
        --verify) verifying=yes ;;
        --check) action=check ;;
        --cure)
            if [ $# -lt 2 ]; then misuse '`--cure` needs a value'; fi
            cure_by=$2
            shift
            ;;
        --all) all=yes ;;
        --help | -h)
            usage
            exit 0
            ;;
        *) misuse "there is no option \`$1\`" ;;
        esac
        shift
    done
    if [ "$all" = yes ] && [ "$action" != uninstall ]; then misuse '`--all` goes with `--uninstall`'; fi
    case $address in
    *[!0-9a-fA-F.:]*) misuse '`--address` is an IP address, such as 192.168.0.12' ;;
    '' | *.* | *:*) ;;
    *) misuse '`--address` is an IP address, such as 192.168.0.12' ;;
    esac
    if [ "$verifying" = yes ] && [ "$action" != install ]; then misuse '`--verify` goes with no other action'; fi
    if [ "$given" = none ]; then misuse 'a SHA-256 fingerprint has 64 hexadecimal digits'; fi
    if [ -z "$asking" ]; then
        if [ -n "$given" ] || [ "$action" != install ]; then asking=no; else asking=yes; fi
    fi
    if [ "$asking" = yes ] && [ "$dry" = no ]; then quiet=no; fi
}

# 64 upper-case digits out of any usual spelling, or `none`: with colons or without, `SHA256:…`, what openssl prints.
normal() { # FINGERPRINT
    digits=$(printf '%s\n' "$1" | tr '[:lower:]' '[:upper:]' |
        sed 's/^.*=//; s/^ *SHA-\{0,1\}256[: ]*//; s/[: -]//g')
    case $digits in
    *[!0-9A-F]*) echo none ;;
    *) if [ "${#digits}" = 64 ]; then echo "$digits"; else echo none; fi ;;
    esac
}

# ---- the certificates ------------------------------------------------------

has() { command -v "$1" >/dev/null 2>&1; }

# What every system has one of, under one name.
tools() {
    if has sha256sum; then
        sha256() { sha256sum | sed 's/ .*//'; }
    elif has shasum; then
        sha256() { shasum -a 256 | sed 's/ .*//'; }
    elif has openssl; then
        sha256() { openssl dgst -sha256 -r | sed 's/ .*//'; }
    else
        fail 'there is no sha256sum, shasum or openssl to check the fingerprint with' 'install openssl'
    fi
    if has openssl; then
        decode() { openssl base64 -d; }
    elif has base64; then
        decode() { base64 -d; }
    else
        fail 'there is no base64 or openssl to check the fingerprint with' 'install openssl'
    fi
}

# From the certificate's own bytes: what is written beside them would prove nothing.
digest() { pem "$1" | sed '/^-/d' | decode | sha256; } # STEM

colons() { printf '%s\n' "$1" | tr '[:lower:]' '[:upper:]' | sed 's/../&:/g; s/:$//'; } # DIGEST

fingerprints() {
    matches=no
    for stem in $stems; do
        digest=$(digest "$stem")
        case $digest in
        "${stem##*-}"*) ;;
        *) fail 'this script is damaged: a root certificate in it is not the one it names' 'download it again' ;;
        esac
        fingerprint=$(colons "$digest")
        say "  SHA-256 $fingerprint"
        if [ "$(normal "$fingerprint")" = "$given" ]; then matches=yes; fi
    done
    if [ -n "$given" ] && [ "$matches" = no ]; then
        fail "this is not the root certificate with the fingerprint \`$(colons "$given")\`: nothing was changed" \
            'ask the administrator for the fingerprint, and for this script'
    fi
}

# What a file is to hold. A kind is one word.
content() { # KIND
    case $1 in
    root:*) pem "${1#root:}" ;;
    bundle) for stem in $stems; do pem "$stem"; done ;;
    hosts:*)
        list=''
        for stem in $stems; do list="$list${list:+, }\"$stem.crt\""; done
        cat <<TOML
# Written by install.sh of $registry, which also takes it away.
server = "https://${1#hosts:}"
ca = [$list]

[host."https://${1#hosts:}"]
  capabilities = ["pull", "resolve", "push"]
  ca = [$list]
TOML
        ;;
    registries:*)
        cat <<YAML
# Written by install.sh of $registry, which also takes it away.
mirrors:
YAML
        at_each_place mirror
        echo 'configs:'
        at_each_place trusting "${1#registries:}"
        ;;
    esac
}

# k3s and RKE2 take the key as it stands in an image's name: 443 is not written. This is the one place that knows it,
# with trust/k3s and trust/rke2.
mirror() {
    cat <<YAML
  "$registry":
    endpoint:
      - "https://$registry"
YAML
}

# The part of registries.yaml that trust hangs on.
trusting() { # BUNDLE
    cat <<YAML
  "$registry":
    tls:
      ca_file: $1
YAML
}

# ---- what is here ----------------------------------------------------------

want() { wanted="$wanted$1 $2$newline"; } # KIND PATH

want_roots() { # DIRECTORY EXTENSION
    for stem in $stems; do want "root:$stem" "$1/$stem.$2"; done
}

later() { laters="$laters  $1$newline"; } # WHAT THE PERSON DOES

# Done here where --restart allows it.
restart() { # UNIT WHAT-THE-PERSON-DOES
    if [ "$restarting" = yes ] && has systemctl; then restarts="$restarts$1$newline"; else later "$2"; fi
}

is_running() { # PROGRAM
    set +f
    cat /proc/[0-9]*/comm 2>/dev/null | grep -qx "$1" && found=0 || found=1
    set -f
    return "$found"
}

# Without one there is nothing to undo, nor to leave alone.
no_store() { # MESSAGE HINT
    if [ "$action" = install ] && [ "$system" = yes ]; then fail "$@"; fi
    refresh=''
}

# Sets the family's directory, the files' extension and the command that reads the directory.
find_store() {
    store='' extension=crt refresh='' cure=''
    id=$(sed -n 's/^ID=//p' /etc/os-release 2>/dev/null | tr -d "\"'") || id=''
    if [ "$(uname -s)" = Darwin ]; then
        store=keychain
    elif [ "$id" = nixos ] || [ -e /etc/NIXOS ]; then
        no_store 'NixOS makes its store from its configuration' \
            'add `security.pki.certificateFiles = [ ./ca.crt ];` and rebuild; `--no-system` does the rest here'
    elif [ "$id" = flatcar ] || [ "$id" = coreos ]; then
        store=/etc/ssl/certs extension=pem refresh=update-ca-certificates
    elif [ "$id" = boot2docker ] || [ -d /var/lib/boot2docker ]; then
        # Copied into the system's store at each boot; everything else here is gone by then.
        store=/var/lib/boot2docker/certs extension=pem
    elif [ -d /etc/pki/ca-trust/source/anchors ]; then
        store=/etc/pki/ca-trust/source/anchors refresh='update-ca-trust extract'
    elif [ -d /etc/pki/trust/anchors ]; then
        store=/etc/pki/trust/anchors refresh=update-ca-certificates
    elif [ -d /etc/ca-certificates/trust-source/anchors ]; then
        store=/etc/ca-certificates/trust-source/anchors refresh=update-ca-trust
        if ! has update-ca-trust; then refresh='trust extract-compat'; fi
    elif has update-ca-certificates || [ -d /usr/local/share/ca-certificates ] || [ -e /etc/debian_version ] ||
        [ -e /etc/alpine-release ]; then
        store=/usr/local/share/ca-certificates refresh=update-ca-certificates
        cure='install the package ca-certificates: `apt-get install ca-certificates`, `apk add ca-certificates`'
    else
        no_store 'no store of trusted certificates that this script knows is here' \
            'put ca.crt where the system wants it; `--no-system` does the container runtimes'
    fi
    if [ -n "$refresh" ] && ! has "${refresh%% *}"; then
        no_store "there is no \`${refresh%% *}\` here, which makes the system trust a certificate" \
            "${cure:-install it, or say --no-system}"
    fi
}

want_store() {
    for stem in $stems; do
        # A package may have the very root in a directory of its own, and links are named after the file alone.
        if [ "$store" = keychain ]; then
            want "keychain:$stem" "keychain:$stem"
        elif [ "$refresh" != update-ca-certificates ] || [ -z "$(twins "$stem.$extension")" ]; then
            want "root:$stem" "$store/$stem.$extension"
        fi
    done
}

# Files of this name elsewhere in the store.
twins() { find -L "$store" -type f -name "$1" ! -path "$store/$1" 2>/dev/null || true; } # NAME

# The runtimes of the machine.
survey_machine() {
    find_store
    if [ "$system" = yes ]; then want_store; fi
    at_each_place survey_directories
    want_containerd
    survey_clusters
    point_at_user
    want_name
}

survey_directories() {
    if has docker || has dockerd || [ -d /etc/docker ]; then
        want_roots "/etc/docker/certs.d/$registry" crt
    fi
    # They take the first directory that is there, Docker's among them: a new one would hide it.
    if [ -d "/etc/containers/certs.d/$registry" ]; then
        want_roots "/etc/containers/certs.d/$registry" crt
    elif has podman || has buildah || has skopeo || has crio || [ -d /etc/containers ]; then
        case $wanted in
        *" /etc/docker/certs.d/$registry/"*) ;;
        *) want_roots "/etc/containers/certs.d/$registry" crt ;;
        esac
    fi
}

survey_clusters() {
    for name in k3s rke2; do
        if has $name || [ -d /etc/rancher/$name ] || [ -d /var/lib/rancher/$name ]; then
            want_registries /etc/rancher/$name
        fi
    done
    if [ -d /var/snap/microk8s/current/args ]; then at_each_place want_hosts /var/snap/microk8s/current/args/certs.d; fi
}

# ---- the registry's name -----------------------------------------------------

hosts=/etc/hosts

# Sets `host_line`, the line that is missing there, or whether one of this script is there to be removed.
want_name() {
    host_line='' host_gone=no
    host_name=${host_port%:*}
    mark="# install.sh of $directory"
    if [ "$system" = no ]; then return 0; fi
    if [ "$action" = uninstall ]; then
        if grep -qs " $mark\$" "$hosts"; then host_gone=yes; fi
    elif [ -n "$address" ] && ! finds_name; then
        host_line="$address $host_name $mark"
    fi
}

finds_name() {
    case $host_name in
    '['*) return 0 ;;
    *[!0-9.]*) ;;
    *) return 0 ;;
    esac
    if has getent; then
        getent hosts "$host_name" >/dev/null
    elif has dscacheutil; then
        dscacheutil -q host -a name "$host_name" | grep -q .
    else
        sed 's/#.*//; s/$/ /' "$hosts" | tr '\t' ' ' | grep -qiF " $host_name "
    fi
}

# The file is not replaced: in a container it is a mount.
change_hosts() {
    if [ -n "$host_line" ]; then
        if [ -n "$(tail -c 1 "$hosts" 2>/dev/null)" ]; then host_line=$newline$host_line; fi
        { printf '%s\n' "$host_line" >>"$hosts"; } 2>/dev/null || later "add \`$address $host_name\` to $hosts, which cannot be written"
    elif [ "$host_gone" = yes ]; then
        others=$(grep -v " $mark\$" "$hosts" || true)
        { printf '%s\n' "$others" >"$hosts"; } 2>/dev/null || later "take the line of $host_name out of $hosts, which cannot be written"
    fi
}

# ---- containerd's CRI ------------------------------------------------------

want_containerd() {
    find_cri
    case $cri in
    one) at_each_place want_hosts "$cri_path" ;;
    split) at_each_place want_hosts "${cri_path%%:*}" ;;
    literal)
        at_each_place want_hosts "${cri_path%%:*}"
        # Beside the directory that will count when containerd reads its list as one.
        at_each_place want_hosts "$cri_path"
        ;;
    unknown) at_each_place want_hosts /etc/containerd/certs.d ;;
    off | store) ;;
    esac
    # nerdctl reads no setting of the CRI.
    if has nerdctl; then
        case $wanted in
        *" /etc/containerd/certs.d/$directory/"*) ;;
        *) at_each_place want_hosts /etc/containerd/certs.d ;;
        esac
    fi
}

# How containerd's CRI comes to trust a registry, by containerd's own word: `config dump` has the defaults of its version
# and the drop-ins that count. Sets `cri`:
#   off      it has no CRI, or only Docker uses it
#   unknown  it does not say
#   store    by the system's store alone, which it reads once
#   one      by the directory `cri_path`, at each pull
#   split    by the first directory of the list `cri_path`
#   literal  by the list, taken for the name of one directory: since 2.1, unless it pulls the way of 2.0
#            (containerd#12415, containerd#13246)
find_cri() {
    cri=off cri_path='' cri_socket=/run/containerd/containerd.sock
    if ! has containerd || ! is_cri_used; then return 0; fi
    cri=unknown
    version=$(containerd --version 2>/dev/null |
        sed -n 's/.* v\{0,1\}\([0-9][0-9]*\)\.\([0-9][0-9]*\)\..*/\1 \2/p')
    # shellcheck disable=SC2046  # words
    set -- $(cri_settings)
    if [ -z "$version" ] || [ $# -lt 5 ]; then return 0; fi
    minor=$((${version% *} * 100 + ${version#* }))
    cri_socket=$5 cri_path=${6-}
    # Its default, which its settings do not show (plugins/cri/images/plugin.go).
    if [ -z "$cri_path" ] && [ "$4" = none ] && [ "$minor" -ge 202 ]; then
        cri_path=/etc/containerd/certs.d:/etc/docker/certs.d
    fi
    if [ "$1" = off ]; then
        cri=off
    elif [ "$3" = configs ] && [ "$minor" -lt 200 ]; then
        # Roots may be named there, for each registry; version 2 leaves them unread.
        cri=unknown
    elif [ -z "$cri_path" ]; then
        cri=store
    elif [ "${cri_path#*:}" = "$cri_path" ]; then
        cri=one
    elif [ "$minor" -lt 201 ] || [ "$2" = local ]; then
        cri='split'
    else
        cri=literal
    fi
}

# Whether something pulls images with this containerd. Docker brings one along that pulls none.
is_cri_used() {
    if has crictl || { ! has cri-dockerd && { has kubelet || is_running kubelet; }; }; then return 0; fi
    if grep -Eqs "^[^#]*config_path[[:blank:]]*=[[:blank:]]*[\"'][^\"']" /etc/containerd/config.toml; then return 0; fi
    set +f
    other=no
    for name in /etc/containerd/certs.d/*; do
        case $places in *"${name##*/}"*) ;; *) if [ -d "$name" ]; then other=yes; fi ;; esac
    done
    set -f
    if [ "$other" = yes ]; then return 0; fi
    ! has dockerd && ! is_running dockerd
}

# Six words: on or off; how it pulls; whether it has a table of `configs`, and one of `mirrors`; its socket; its
# `config_path`, or nothing.
cri_settings() {
    file=$(cri_file)
    if [ -f "$file" ]; then set -- --config "$file" config dump; else set -- config default; fi
    containerd "$@" 2>/dev/null | tr -d "\"'" | awk '
        /^[ \t]*\[/ {
            table = $0; gsub(/[][ \t]/, "", table)
            if (table ~ /^plugins\..*cri.*\.registry\.(auths|configs|mirrors)\../) way = "local"
            if (table ~ /^plugins\..*cri.*\.registry\.configs\../) configs = "configs"
            if (table ~ /^plugins\..*cri.*\.registry\.mirrors\../) mirrors = "mirrors"
            next
        }
        {
            value = $0; sub(/^[^=]*=[ \t]*/, "", value)
            sub(/[ \t]*=.*/, ""); gsub(/[ \t]/, "")
        }
        table == "" && $0 == "disabled_plugins" && value ~ /cri/ { state = "off" }
        # A plugin of its own since 2.3.
        table ~ /(^|\.)grpc$/ && $0 == "address" { socket = value }
        table ~ /^plugins\..*cri(\.v1\.images)?\.registry$/ && $0 == "config_path" { path = value }
        table ~ /^plugins\..*cri\.v1\.images$/ {
            if ($0 ~ /^(use_local_image_pull|discard_unpacked_layers|image_pull_with_sync_fs)$/ && value == "true") way = "local"
            if ($0 == "disable_snapshot_annotations" && value == "false") way = "local"
            if ($0 == "max_concurrent_downloads" && value != 3) way = "local"
        }
        END {
            if (socket == "") socket = "/run/containerd/containerd.sock"
            if (table != "") print (state == "" ? "on" : state), (way == "" ? "transfer" : way), (configs == "" ? "none" : configs), (mirrors == "" ? "none" : mirrors), socket, path
        }'
}

# The settings of the containerd that runs, unless it is the one that Docker, k3s or MicroK8s brings.
cri_file() {
    set +f
    found=$(grep -lsx containerd /proc/[0-9]*/comm) || found=''
    set -f
    for process in $found; do
        words=$(tr '\0' ' ' <"${process%/comm}/cmdline" 2>/dev/null) || continue
        case $words in
        */docker/* | */rancher/* | */snap/* | */k0s/*) continue ;;
        esac
        file=$(printf '%s\n' "$words" | sed -n -e 's/.* --config[ =]\([^ ]*\).*/\1/p' -e t -e 's/.* -c[ =]\([^ ]*\).*/\1/p')
        if [ -n "$file" ]; then
            echo "$file"
            return
        fi
    done
    echo /etc/containerd/config.toml
}

# A daemon that reads the system's store once began before the root was in there: it made this file at its start. Where
# the root's own file is not found, the store's bundle is later than the root at any rate.
is_behind() { # FILE
    if [ ! -e "$1" ]; then return 1; fi
    placed=''
    for stem in $stems; do
        if [ -d "${store:-/nonexistent}" ]; then placed="$placed $(find -L "$store" -name "*-${stem##*-}.*" 2>/dev/null)"; fi
    done
    if [ -z "${placed# }" ]; then placed=$(bundle); fi
    # shellcheck disable=SC2086  # several files
    [ -n "$(find $placed -cnewer "$1" 2>/dev/null || find $placed -newer "$1" 2>/dev/null)" ]
}

# The one file of all roots that each family of systems makes (Debian, Fedora, SUSE, Alpine).
bundle() {
    for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
        if [ -f "$file" ]; then
            echo "$file"
            return
        fi
    done
}

want_hosts() { # DIRECTORY
    at=$1/$directory
    # It takes the first that is there: a new directory would hide one of the other spelling.
    if [ ! -d "$at" ] && [ -d "$1/$registry" ]; then at=$1/$registry; fi
    want_roots "$at" crt
    file=$at/hosts.toml
    if [ -d "$at" ] && [ "$(state "$file")" = none ] && [ -z "$(recorded "$file")" ]; then
        # Without one it reads every .crt in the directory, as Docker does.
        case $(ls "$at") in *.c*rt*) return ;; esac
    fi
    if is_free "$file"; then
        want hosts:"$host_port" "$file"
        return
    fi
    stays "$file" "${stems%% *}.crt"
    for stem in $stems; do
        if ! grep -qsF "$stem.crt" "$file"; then
            merge "$file" "at its top, and below [host.\"https://$host_port\"], in place of any \`ca\` there" \
                "$(content hosts:"$host_port" | grep '^ca ')"
            break
        fi
    done
}

want_registries() { # DIRECTORY
    # Named after the registry: others of its domain may have other roots.
    bundle=$1/root-cert-$(printf '%s\n' "$directory" | tr ':[]' '___').crt
    file=$1/registries.yaml
    want bundle "$bundle"
    if is_free "$file"; then
        want "registries:$bundle" "$file"
        return
    fi
    stays "$file" "$bundle"
    at_each_place merge_registry
}

merge_registry() {
    case $(configured "$file" "$bundle") in
    0) merge "$file" 'at its end' "configs:$newline$(trusting "$bundle")" ;;
    1) merge "$file" 'below its `configs:`' "$(trusting "$bundle")" ;;
    2) merge "$file" "below \"$registry\" in its \`configs:\`, in place of any \`ca_file\` there" "$(trusting "$bundle" | sed 1d)" ;;
    esac
}

# How far the file gets: 1 with `configs:`, 2 with the registry below it, 3 with the bundle below that.
configured() { # FILE BUNDLE
    awk -v key="$registry:" -v bundle="$2" '
        /^[ \t]*(#|$)/ { next }
        {
            gsub(/["\047\r]/, "")
            match($0, /[^ \t]/)
            if (RSTART == 1) { inside = /^configs[ \t]*:/; entry = 0; column = 999 }
            else if (inside && RSTART <= column) { column = RSTART; entry = substr($0 " ", RSTART, length(key) + 1) == key " " }
            steps = inside + entry + (entry && index($0, bundle) > 0)
            if (steps > most) most = steps
        }
        END { print most + 0 }' "$1"
}

# Not there, or as this script made it.
is_free() { # PATH
    found=$(state "$1")
    [ "$found" = none ] || is_ours "$1" "$found"
}

# From then on it is the person's, also where this script made it.
stays() { # PATH TEXT
    kept="$kept$1$newline"
    if [ "$action" = uninstall ] && { [ -n "$(recorded "$1")" ] || grep -qsF "$2" "$1"; }; then
        later "\`$1\` is not of this script, or was changed, and stays: take out of it what it has of $registry"
    fi
}

# A foreign file stays: the person merges.
merge() { # FILE WHERE LINES
    if [ "$action" = install ]; then
        later "\`$1\` is not of this script, or was changed, and stays; add to it, $2:$newline$(printf '%s\n' "$3" | sed 's/^/      /')"
    fi
}

# What belongs to a user is theirs to do: root would follow whatever links they made.
point_at_user() {
    if [ -z "${SUDO_USER-}" ] || [ "$SUDO_USER" = root ]; then return 0; fi
    home=$(awk -F: -v user="$SUDO_USER" '$1 == user { print $6 }' /etc/passwd)
    for sign in .local/share/docker .docker/desktop .minikube; do
        if [ -n "$home" ] && [ -d "$home/$sign" ]; then
            later "run this as \`$SUDO_USER\` too, without sudo: there is \`$home/$sign\`"
            break
        fi
    done
}

# The runtimes of a user.
survey_user() {
    store=''
    if [ "$(uname -s)" = Darwin ]; then
        store=keychain
        if [ "$system" = yes ]; then want_store; fi
    fi
    configuration=${XDG_CONFIG_HOME:-$HOME/.config}
    at_each_place survey_own_directories
    survey_rest
}

survey_own_directories() {
    if has dockerd-rootless.sh || [ -S "${XDG_RUNTIME_DIR:-/run/none}/docker.sock" ] ||
        [ -d "${XDG_DATA_HOME:-$HOME/.local/share}/docker" ]; then
        want_roots "$configuration/docker/certs.d/$registry" crt
    fi
    if [ -d "$HOME/.docker/desktop" ] || { [ -d "$HOME/.docker" ] && [ "$(uname -s)" = Darwin ]; }; then
        want_roots "$HOME/.docker/certs.d/$registry" crt
    fi
    # They take the first directory that is there: a new one would hide the machine's.
    if [ -d "$configuration/containers/certs.d/$registry" ] || {
        { has podman || has buildah || has skopeo; } && [ ! -d "/etc/containers/certs.d/$registry" ] &&
            [ ! -d "/etc/docker/certs.d/$registry" ]
    }; then
        want_roots "$configuration/containers/certs.d/$registry" crt
    fi
}

survey_rest() {
    if [ -d "$HOME/.minikube" ]; then want_roots "$HOME/.minikube/certs" pem; fi
    if [ "$system" = yes ] && [ "$action" = install ] && [ ! -e "/var/lib/regcert/trust/$directory" ]; then
        say 'note: the system, and what runs as root, need root: run this with sudo'
    fi
}

# What has to be restarted, or the change is not seen. The directories of Docker, Podman and containerd are read at each
# use.
name_restarts() {
    again='so that it reads the store'
    if [ "$action" = uninstall ]; then again='so that it forgets the root'; fi
    name_cri_restart
    if [ -n "$store" ] && changes "$store"; then
        if is_running buildkitd; then later "restart buildkitd, $again"; fi
        # It has the store of its start in memory.
        if [ "$action" = uninstall ] && [ -n "$(find /run/docker.pid -newer "$record" 2>/dev/null)" ]; then
            later "restart Docker (\`systemctl restart docker\`), $again"
        fi
        if [ "$store" = /var/lib/boot2docker/certs ]; then
            later "restart the machine (\`sudo reboot\`), $again; Docker needs no restart"
        fi
    fi
    if needs_cluster_restart k3s; then restart "$(active k3s k3s-agent)" 'restart k3s (`systemctl restart k3s`, on an agent `k3s-agent`)'; fi
    if needs_cluster_restart rke2; then restart "$(active rke2-server rke2-agent)" 'restart RKE2 (`systemctl restart rke2-server`, on an agent `rke2-agent`)'; fi
    if changes /var/snap/microk8s; then later 'restart MicroK8s (`microk8s stop && microk8s start`)'; fi
    if changes "${HOME:-/nonexistent}/.minikube"; then later 'start minikube with `minikube start --embed-certs`'; fi
    if [ "$store" = keychain ] || changes "${HOME:-/nonexistent}/.docker"; then later 'restart Docker Desktop, if it runs'; fi
    if changes '' && [ "$action" = install ] &&
        grep -qsr '"docker-container"' "${HOME:-/nonexistent}/.docker/buildx/instances"; then
        later 'make builders of `docker buildx` that run in containers again, with --buildkitd-config'
    fi
}

name_cri_restart() {
    how="restart containerd (\`systemctl restart containerd\`; what runs in pods runs on), $again"
    case $action:$cri in
    uninstall:off) ;;
    uninstall:*) if [ -e "$cri_socket" ] && [ -n "$store" ] && changes "$store/"; then restart containerd "$how"; fi ;;
    install:store)
        if [ "$system" = no ]; then
            later "containerd reads no directory of certificates: $(config_path_hint)"
        elif [ -e "$cri_socket" ] && { changes "$store/" || is_behind "$cri_socket"; }; then
            restart containerd "$how"
        fi
        ;;
    install:unknown) later "containerd does not say where it looks for certificates: try \`crictl pull\` with an image of $registry" ;;
    esac
}

config_path_hint() {
    echo 'set `config_path = "/etc/containerd/certs.d"` for its CRI in /etc/containerd/config.toml, restart it, and run this again'
}

# It reads registries.yaml when it starts, and writes containerd's settings then.
needs_cluster_restart() { # NAME
    changes "/etc/rancher/$1" || is_cluster_behind "$1"
}

is_cluster_behind() { # NAME
    [ -n "$(find "/etc/rancher/$1/registries.yaml" -newer "/var/lib/rancher/$1/agent/etc/containerd/config.toml" 2>/dev/null)" ]
}

active() { # UNIT OTHER
    if has systemctl && systemctl is-active --quiet "$2"; then echo "$2"; else echo "$1"; fi
}

# ---- what is so already ----------------------------------------------------

report() { # NAME STATE MESSAGE [CURE]
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "${4-}"
    told=yes
    if [ "$2" = broken ]; then broken=yes; fi
}

# One of the roots is in the file, however its lines are broken.
holds() { # FILE
    if [ ! -f "$1" ]; then return 1; fi
    for stem in $stems; do
        if tr -d ' \t\r\n' <"$1" 2>/dev/null | grep -qF "$(pem "$stem" | sed '/^-/d' | tr -d '\n')"; then return 0; fi
    done
    return 1
}

# Each of these prints the file by which the registry is trusted at the place, or fails.
crt_in() { # DIRECTORY
    set +f
    for file in "$1"/*.crt; do
        if holds "$file"; then
            echo "$file"
            return 0
        fi
    done
    return 1
}

# The directory in which a runtime looks for the certificates of the place.
docker_directory() { echo "/etc/docker/certs.d/$registry"; }
rootless_directory() { echo "$configuration/docker/certs.d/$registry"; }
# The first one that is there counts, whatever is in it.
podman_directory() {
    for at in "$configuration/containers/certs.d" /etc/containers/certs.d /etc/docker/certs.d; do
        if [ -d "$at/$registry" ]; then break; fi
    done
    echo "$at/$registry"
}

in_directory() { crt_in "$("$1")"; } # COMMAND-THAT-PRINTS-A-DIRECTORY

# Sets `half` to half of a client's pair: with it, each request fails.
find_half() { # COMMAND-THAT-PRINTS-A-DIRECTORY
    at=$("$1")
    set +f
    for file in "$at"/*.cert "$at"/*.key; do
        case $file in
        *.cert) other=${file%.cert}.key ;;
        *) other=${file%.key}.cert ;;
        esac
        if [ -e "$file" ] && [ ! -e "$other" ]; then half=${half:-$file}; fi
    done
    set -f
}

# The first directory that is there counts, and in it hosts.toml before all.
in_hosts() { # DIRECTORY
    for at in "$1/$directory" "$1/$registry" "$1/_default"; do
        if [ ! -d "$at" ]; then continue; fi
        if [ ! -f "$at/hosts.toml" ]; then
            crt_in "$at"
            return
        fi
        for file in $(sed -n 's/^[ \t]*ca[ \t]*=//p' "$at/hosts.toml" | tr -d "\"'[]" | tr ',' ' '); do
            case $file in /*) ;; *) file=$at/$file ;; esac
            if holds "$file"; then
                echo "$file"
                return 0
            fi
        done
        return 1
    done
    return 1
}

in_registries() { # FILE
    file=$(awk -v key="$registry:" '
        /^[ \t]*(#|$)/ { next }
        {
            gsub(/["\047\r]/, "")
            match($0, /[^ \t]/)
            if (RSTART == 1) { inside = /^configs[ \t]*:/; entry = 0; column = 999 }
            else if (inside && RSTART <= column) { column = RSTART; entry = substr($0 " ", RSTART, length(key) + 1) == key " " }
            if (entry && /ca_file:/) { sub(/.*ca_file:[ \t]*/, ""); print; exit }
        }' "$1" 2>/dev/null)
    holds "$file" && echo "$file"
}

# Sets `by` to a file by which it is trusted, and `lacking` to the names and ports where it is not.
sift() { # COMMAND...
    by='' lacking=''
    at_each_place sift_place "$@"
}

sift_place() { # COMMAND...
    if file=$("$@"); then by=${by:-$file}; else lacking="$lacking${lacking:+, }$registry"; fi
}

# A runtime that has such files, or else the system's store, as it was when the daemon made a file of its own.
check_files() { # NAME STARTED COMMAND...
    name=$1 started=$2
    shift 2
    sift "$@"
    if [ -z "$lacking" ]; then
        report "$name" held "trusts it by $by"
    elif [ "$in_store" = no ]; then
        report "$name" broken "does not trust $lacking" "run \`$cure_by\`"
    elif is_behind "$started"; then
        report "$name" broken "needs a restart: the root came into the system's store after it had started" "run \`sudo systemctl restart $name\`"
    else
        report "$name" held "trusts it by the system's store"
    fi
}

# A runtime that reads certificates from a directory of the registry.
check_directory() { # NAME STARTED COMMAND-THAT-PRINTS-A-DIRECTORY
    half=''
    at_each_place find_half "$3"
    if [ -z "$half" ]; then
        check_files "$1" "$2" in_directory "$3"
        return 0
    fi
    # A key without its certificate may be the only copy of it.
    to=$half.unused
    if holds "$half"; then to=${half%.*}.crt; fi
    report "$1" broken "\`$half\` is half of a client's pair without the other: every request fails" "run \`${as_root}mv $half $to\`"
}

# Whether a runtime is told to verify nothing of this registry, which is broken, whatever root it has.
is_lax() { # NAME SETTING FILE-OR-DIRECTORY...
    name=$1 setting=$2 is_lax=no
    shift 2
    in_each check_lax_file "$@"
    [ "$is_lax" = yes ]
}

check_lax_file() {
    find_lax
    if [ "$is_lax" = yes ] || [ -z "$named$networks" ]; then return 0; fi
    is_lax=yes by=$cure_by reload='sudo systemctl reload docker'
    case $file in "$configuration"/*) by=${cure_by#sudo } reload='systemctl --user reload docker' ;; esac
    if [ -n "$networks" ]; then
        cure="take \`${networks# }\` out of $file, then run \`$reload\`"
    elif [ -L "$file" ]; then
        cure="take \`$named\` out of $file"
    else
        cure="run \`$by --verify\`"
    fi
    report "$name" broken "verifies nothing: $setting in $file has \`${named:-${networks# }}\`, so it accepts any certificate" "$cure"
}

check_containerd() {
    find_cri
    case $cri in
    off) ;;
    unknown)
        if [ "$in_store" = yes ] && ! is_behind "$cri_socket"; then
            report containerd held "trusts it by the system's store"
        else
            report containerd 'not tried' "it does not say where it looks for certificates; \`crictl pull $registry/IMAGE\` proves it"
        fi
        ;;
    store) check_files containerd "$cri_socket" false ;;
    one | literal) check_files containerd "$cri_socket" in_hosts "$cri_path" ;;
    split) check_files containerd "$cri_socket" in_hosts "${cri_path%%:*}" ;;
    esac
    if has nerdctl; then check_files nerdctl /nonexistent in_hosts /etc/containerd/certs.d; fi
}

check_cluster() { # NAME UNITS...
    if ! has "$1" && [ ! -d "/etc/rancher/$1" ] && [ ! -d "/var/lib/rancher/$1" ]; then return 0; fi
    if is_cluster_behind "$1"; then
        report "$1" broken "needs a restart: /etc/rancher/$1/registries.yaml is newer than its start" "run \`sudo systemctl restart $(active "$2" "$3")\`"
    else
        check_files "$1" "/run/k3s/containerd/containerd.sock" in_registries "/etc/rancher/$1/registries.yaml"
    fi
}

# Docker of the user.
check_rootless() {
    if [ ! -e "$configuration/systemd/user/docker.service" ] ||
        is_lax 'rootless docker' '`insecure-registries`' "$configuration/docker/daemon.json"; then
        return 0
    fi
    as_root='' cure=$cure_by
    cure_by=${cure_by#sudo }
    check_directory 'rootless docker' /nonexistent rootless_directory
    as_root='sudo ' cure_by=$cure
}

# BuildKit names its roots in a settings file.
check_buildkit() {
    buildkitd=$configuration/buildkit/buildkitd.toml
    if [ ! -f "$buildkitd" ]; then buildkitd=/etc/buildkit/buildkitd.toml; fi
    if [ ! -f "$buildkitd" ] && ! has buildkitd; then return 0; fi
    sift in_buildkit "$buildkitd"
    if [ -z "$lacking" ]; then
        report buildkit held "trusts it by $by"
    elif [ "$in_store" = yes ]; then
        report buildkit held "trusts it by the system's store"
    else
        report buildkit broken "does not trust $lacking: $buildkitd names no file with the root for it" \
            "write \`ca = [\"FILE\"]\` below \`[registry.\"${lacking%%,*}\"]\` into $buildkitd, with the root in FILE, then restart buildkitd"
    fi
}

in_buildkit() { # FILE
    for file in $(awk -v section="[registry.\"$registry\"]" '
        /^[ \t]*\[/ { line = $0; gsub(/^[ \t]+|[ \t\r]+$/, "", line); inside = line == section }
        inside && /^[ \t]*ca[ \t]*=/ { sub(/^[^=]*=/, ""); gsub(/[]["\047,\r]/, " "); print }' "$1" 2>/dev/null); do
        if holds "$file"; then
            echo "$file"
            return 0
        fi
    done
    return 1
}

# The system's store; nothing needs the root there where a runtime of this machine has files of its own.
check_store() {
    if [ -z "$bundle" ]; then
        report 'system store' 'not tried' 'this system has none that this script can read'
    elif [ "$in_store" = yes ]; then
        report 'system store' held "the root is in $bundle"
    elif placed=$(placed_in_store); then
        report 'system store' broken "\`$placed\` is the root, and $bundle was not rebuilt with it" "run \`$cure_by\`"
    elif [ "$told" = yes ]; then
        report 'system store' held "the root is not in $bundle, and no runtime here needs it there"
    else
        report 'system store' broken "no runtime is here, and the root is not in $bundle" "run \`$cure_by\`"
    fi
}

placed_in_store() {
    set +f
    for file in "${store:-/nonexistent}"/*; do
        if holds "$file"; then
            echo "$file"
            return 0
        fi
    done
    return 1
}

check() {
    broken=no in_store=no told=no as_root='sudo ' configuration=${XDG_CONFIG_HOME:-${HOME:-/nonexistent}/.config}
    find_store
    bundle=$(bundle)
    if holds "$bundle"; then in_store=yes; fi
    if has dockerd && ! is_lax docker '`insecure-registries`' /etc/docker/daemon.json; then
        check_directory docker /run/docker.pid docker_directory
    fi
    check_rootless
    check_containerd
    if { has podman || has buildah || has skopeo || has crio; } && ! is_lax podman '`insecure = true`' \
        "$configuration/containers/registries.conf" /etc/containers/registries.conf /etc/containers/registries.conf.d; then
        check_directory podman /nonexistent podman_directory
    fi
    check_buildkit
    check_cluster k3s k3s k3s-agent
    check_cluster rke2 rke2-server rke2-agent
    if [ -d /var/snap/microk8s/current/args ]; then
        check_files microk8s /nonexistent in_hosts /var/snap/microk8s/current/args/certs.d
    fi
    check_store
    if [ "$broken" = yes ]; then exit 3; fi
}

# ---- what a runtime does not verify ------------------------------------------

# Settings with which a runtime accepts any certificate: sets `lax` to the files that name this registry, and leaves
# networks around it to the person, as other registries may be in them.
survey_lax() {
    lax=''
    if [ "$action" != install ]; then return 0; fi
    if [ "$user" = 0 ]; then
        in_each survey_lax_file /etc/docker/daemon.json /etc/containers/registries.conf /etc/containers/registries.conf.d
    else
        in_each survey_lax_file "$configuration/docker/daemon.json" "$HOME/.docker/daemon.json" \
            "$configuration/containers/registries.conf" "$configuration/containers/registries.conf.d"
    fi
}

# Sets `file` to each of the files, and to each file of settings in the directories.
in_each() { # COMMAND FILE-OR-DIRECTORY...
    command=$1
    shift
    for settings in "$@"; do
        file=$settings
        if [ -d "$settings" ]; then
            set +f
            for file in "$settings"/*.conf; do "$command"; done
            set -f
        else
            "$command"
        fi
    done
}

# Sets `networks` and `named` to the entries of the file that mean this registry.
find_lax() {
    networks='' named=''
    if [ ! -f "$file" ]; then return 0; fi
    for entry in $(lax_entries "$file"); do
        case $entry in
        # As the address of a web page.
        *://*) named=${named:-$entry} ;;
        */*) networks="$networks $entry" ;;
        *) named=${named:-$entry} ;;
        esac
    done
}

survey_lax_file() {
    find_lax
    for entry in $networks; do
        later "\`$file\` has the network \`$entry\` in \`insecure-registries\`: Docker verifies nothing of $registry; take it out, then $(reload_docker)"
    done
    if [ -z "$named" ]; then return 0; fi
    if [ "$verifying" = yes ] && [ ! -L "$file" ]; then
        lax="$lax$file$newline"
    else
        later "\`$file\` says that \`$named\` is not to be verified, so any certificate is accepted: $(how_to_verify)"
    fi
}

how_to_verify() {
    if [ -L "$file" ]; then
        echo 'it is a link, so take that out by hand'
    else
        echo 'run this again with `--verify`, which takes that out'
    fi
}

reload_docker() { if [ "$user" = 0 ]; then echo '`systemctl reload docker`'; else echo '`systemctl --user reload docker`'; fi; }

# The names and ports of this registry, and its addresses.
every_name() {
    at_each_place printf_names
    at_each_place printf_addresses
}
printf_names() { printf 'name %s\nname %s\n' "$registry" "$host_port"; }
printf_addresses() {
    host=$(printf '%s' "${host_port%:*}" | tr -d '[]')
    case $host in
    *:*) echo "address $host" ;;
    *[!0-9.]*) { getent ahostsv4 "$host"; getent ahostsv6 "$host"; } 2>/dev/null | awk '$1 !~ /:.*[.]/ { print "address", $1 }' ;;
    *) echo "address $host" ;;
    esac
}

lax_entries() { lax_file find "$1"; } # FILE
lax_without() { lax_file edit "$1"; } # FILE

# `find`: the entries of a file that mean this registry. `edit`: the file without them, networks apart.
lax_file() { # find|edit FILE
    { every_name; echo; cat "$2"; } | awk -v mode="$1" -v json="$(case $2 in *.json) echo yes ;; esac)" '
        function number(ip,  part) { split(ip, part, "."); return ((part[1] * 256 + part[2]) * 256 + part[3]) * 256 + part[4] }
        # An IPv6 address as 32 hexadecimal digits.
        function groups(text,  part, n, i, digits) {
            n = split(text, part, ":")
            for (i = 1; i <= n; i++) digits = digits substr("0000" part[i], length(part[i]) + 1)
            return digits
        }
        function digits(ip,  at, before, after) {
            at = index(ip, "::")
            if (!at) return groups(ip)
            before = groups(substr(ip, 1, at - 1)); after = groups(substr(ip, at + 2))
            return before substr("00000000000000000000000000000000", 1, 32 - length(before) - length(after)) after
        }
        # The first so many bits. Not every awk has powers, or numbers in hexadecimal.
        function first(ip, bits,  size, whole) {
            if (ip !~ /:/) {
                for (size = 1; bits < 32; bits++) size *= 2
                return int(number(ip) / size)
            }
            ip = digits(ip); whole = int(bits / 4)
            for (size = 16; bits > whole * 4; bits--) size /= 2
            return substr(ip, 1, whole) "." int((index("0123456789abcdef", substr(ip, whole + 1, 1)) - 1) / size)
        }
        function means(entry,  net, one) {
            sub(/^[a-z]*:\/\//, "", entry)
            entry = tolower(entry)
            if (entry in names) return "name"
            if (entry ~ /^[0-9.]+\/[0-9]+$/ || entry ~ /^[0-9a-f:]+:[0-9a-f:]*\/[0-9]+$/) {
                split(entry, net, "/")
                for (one in addresses) if ((one ~ /:/) == (net[1] ~ /:/) && first(one, net[2]) == first(net[1], net[2])) return "network"
            }
            return ""
        }
        function array(text,  rest, kept, entry, end, kind) {
            if (!match(text, /"insecure-registries"[ \t\r\n]*:[ \t\r\n]*\[/)) return text
            rest = substr(text, RSTART + RLENGTH)
            text = substr(text, 1, RSTART + RLENGTH - 1)
            while (match(rest, /^[ \t\r\n,]*"[^"]*"/)) {
                entry = substr(rest, 1, RLENGTH)
                rest = substr(rest, RLENGTH + 1)
                sub(/^[^"]*"/, "", entry); sub(/"$/, "", entry)
                kind = means(entry)
                if (kind != "" && mode == "find") print entry
                if (kind != "name") kept = kept (kept == "" ? "" : ", ") "\"" entry "\""
            }
            sub(/^[ \t\r\n,]*/, "", rest)
            return text kept rest
        }
        function place(line) { sub(/^[^=]*=[ \t]*["\047]/, "", line); sub(/["\047].*/, "", line); sub(/\/.*/, "", line); return line }
        # A table ends: what it says of insecure goes where it is of this registry.
        function flush(  i, own) {
            own = prefix != "" ? prefix : location
            for (i = 1; i <= lines; i++) {
                if (table[i] ~ /^[ \t]*insecure[ \t]*=[ \t]*true/ && means(own) == "name") {
                    if (mode == "find") print own
                    continue
                }
                if (mode == "edit") print table[i]
            }
            lines = 0; prefix = ""; location = ""
        }
        !body && NF == 0 { body = 1; next }
        !body { if ($1 == "name") names[tolower($2)] = 1; else addresses[tolower($2)] = 1; next }
        json { text = text $0 "\n"; next }
        /^[ \t]*\[/ { flush() }
        /^[ \t]*prefix[ \t]*=/ { prefix = place($0) }
        /^[ \t]*location[ \t]*=/ { location = place($0) }
        { table[++lines] = $0 }
        END {
            if (json) { text = array(text); if (mode == "edit") printf "%s", text } else flush()
        }'
}

# Each keeps its owner and mode: it may hold the password of a proxy.
verify_lax() {
    IFS=$newline
    for file in $lax; do
        unset IFS
        temporary=${file%/*}/.regcert.$$
        rm -f "$temporary"
        if ! { cp -p "$file" "$temporary" && lax_without "$file" >"$temporary" && mv -f "$temporary" "$file"; }; then
            fail "\`$file\` cannot be written" 'take the registry out of it by hand'
        fi
        temporary=''
        case $file in
        *.json) if ! reload_dockerd; then later "$(reload_docker | tr -d '\`' | sed 's/.*/run `&`/'), so that Docker verifies $registry"; fi ;;
        esac
    done
    unset IFS
}

# It reads the list again on SIGHUP; no container notices.
reload_dockerd() {
    if [ "$user" != 0 ]; then
        has systemctl && systemctl --user reload docker 2>/dev/null
    elif has systemctl && systemctl is-active --quiet docker 2>/dev/null; then
        systemctl reload docker
    elif [ -f /run/docker.pid ]; then
        kill -HUP "$(cat /run/docker.pid)" 2>/dev/null
    fi
}

# ---- the list of what this script put here ---------------------------------

# A line is `DIGEST  PATH`, or `directory  PATH`; `unfinished  -` stands in it while files are being changed.
recorded() { # PATH
    if [ ! -f "$record" ]; then return 0; fi
    while IFS= read -r line; do
        if [ "${line#*  }" = "$1" ]; then
            echo "${line%% *}"
            return 0
        fi
    done <"$record"
}

# The file is as this script made it, now or in a run that was stopped.
is_ours() { # PATH DIGEST
    grep -qsxF "$2  $1" "$record"
}

# Another registry's list may have the same file, where both have one authority.
shared() { # PATH
    set +f
    found=1
    for other in "${record%/*}"/*; do
        if [ "$other" != "$record" ] && grep -qsF "  $1" "$other"; then found=0; fi
    done
    set -f
    return "$found"
}

# The lists of other registries that have a root of this one, or of this one under another name or port.
others() {
    set +f
    for other in "${record%/*}"/*; do
        for stem in $stems; do
            if [ "$other" != "$record" ] && grep -qsF "$stem" "$other"; then
                echo "${other##*/}"
                break
            fi
        done
    done
    set -f
}

# Without this the root would stay trusted, for no visible reason.
show_others() {
    for other in $(others); do
        say "note: \`$other\` has the same root here: another registry, or another name or port that this one had;"
        say '      `sh install.sh --uninstall --all` takes all of them away'
    done
}

save() { # LINES
    put "$record" printf '%s' "$1" || fail "\`$record\` cannot be written"
}

# ---- comparing -------------------------------------------------------------

# Digest of what is there; `none`, or `other` where it is no file.
state() { # PATH
    case $1 in
    keychain:*)
        if security find-certificate -a -Z "$keychain" 2>/dev/null | grep -qi "SHA-256 hash: $(keychain_digest "$1")"; then
            keychain_digest "$1"
        else
            echo none
        fi
        ;;
    *)
        if [ -f "$1" ] && [ ! -L "$1" ]; then
            sha256 <"$1"
        elif [ -e "$1" ] || [ -L "$1" ]; then
            echo other
        else
            echo none
        fi
        ;;
    esac
}

# Of a root in this script, or of an earlier one on the list.
keychain_digest() { # keychain:STEM
    case " $stems " in
    *" ${1#keychain:} "*) digest "${1#keychain:}" ;;
    *) recorded "$1" ;;
    esac
}

expected() { # KIND
    case $1 in
    keychain:*) digest "${1#keychain:}" ;;
    *) content "$1" | sha256 ;;
    esac
}

# Sets `writes`, `removals` and `list`, the new list.
compare() {
    writes='' removals='' list='' keep=$newline unfinished=no stale=no
    IFS=$newline
    for line in $wanted; do
        unset IFS
        kind=${line%% *} path=${line#* }
        new=$(expected "$kind") old=$(state "$path")
        keep="$keep$path$newline"
        if [ "$old" = "$new" ]; then
            if ! is_ours "$path" "$old" && ! shared "$path"; then continue; fi
        elif [ "$old" = none ] || is_ours "$path" "$old"; then
            writes="$writes$line$newline"
        else
            fail "\`$path\` is there and not from this script: nothing was changed" \
                'look at it; move it away, then run this again'
        fi
        list="$list$new  $path$newline"
    done
    unset IFS
    if [ -f "$record" ]; then compare_list; fi
    list="$list$(directories)"
    list=$(printf '%s' "$list" | awk 'NF && !seen[$0]++')${list:+$newline}
}

# What is on the list and no longer wanted.
compare_list() {
    while IFS= read -r line; do
        digest=${line%% *} path=${line#*  }
        case $digest in
        unfinished) compare_unfinished ;;
        directory) list="$list$line$newline" ;;
        *) case $keep in *"$newline$path$newline"*) ;; *) compare_unwanted ;; esac ;;
        esac
    done <"$record"
}

# A run was stopped: the store may not have been read since.
compare_unfinished() {
    if [ -z "$refresh" ] || ! grep -qF "  $store/" "$record"; then
        unfinished=yes
    elif [ "$system" = yes ]; then
        unfinished=yes stale=yes
    else
        list="$list$line$newline"
    fi
}

is_kept() { case $newline$kept in *"$newline$1$newline"*) ;; *) return 1 ;; esac }

compare_unwanted() {
    if [ "$system" = no ] && { [ "$store" = keychain ] || [ "${path%/*}" = "$store" ]; }; then
        list="$list$line$newline"
        return
    fi
    now=$(state "$path")
    keep="$keep$path$newline"
    if [ "$now" = none ] || shared "$path"; then
        unfinished=yes
        if [ "$now" = none ] && [ "${path%/*}" = "$store" ]; then stale=yes; fi
    elif is_ours "$path" "$now"; then
        removals="$removals$path$newline"
    elif is_kept "$path"; then
        if [ "$action" = install ]; then list="$list$line$newline"; else unfinished=yes; fi
    else
        later "\`$path\` was changed by hand and stays"
        unfinished=yes
    fi
}

# Those that are made for files and for the list, as lines of it.
directories() {
    if [ -z "$writes" ]; then return; fi
    printf '%s' "$writes" | while IFS= read -r line; do
        path=${line#* }
        case $path in /*) missing "${path%/*}" ;; esac
    done | sed 's/^/directory  /'
    missing "${record%/*}" | sed 's/^/directory  /'
}

changes() { # DIRECTORY
    case $newline$removals$(printf '%s' "$writes" | sed 's/^[^ ]* //') in
    *"$newline$1"*) [ -n "$writes$removals" ] ;;
    *) return 1 ;;
    esac
}

# The directories on the way to it that are not there, the outermost first.
missing() { # DIRECTORY
    if [ ! -d "$1" ]; then
        missing "${1%/*}"
        echo "$1"
    fi
}

# ---- changing --------------------------------------------------------------

temporary=''
trap 'if [ -n "$temporary" ]; then rm -f "$temporary"; fi' EXIT
trap 'exit 1' HUP INT TERM

# Whole or not at all, with the mode that everybody may read.
put() { # PATH COMMAND...
    target=$1
    shift
    mkdir -p "${target%/*}" || return 1
    temporary=${target%/*}/.regcert.$$
    rm -f "$temporary"
    (
        set -C
        "$@" >"$temporary"
    ) || return 1
    chmod 0644 "$temporary" || return 1
    if [ "$user" = 0 ]; then chown 0:0 "$temporary" || return 1; fi
    mv -f "$temporary" "$target" || return 1
    temporary=''
}

# Before the first change: a directory that cannot be written must not be met half-way.
try_directories() {
    IFS=$newline
    for path in $(printf '%s' "$writes" | sed 's/^[^ ]* //') $removals "$record"; do
        unset IFS
        case $path in keychain:*) continue ;; esac
        at=${path%/*}
        while [ -n "$at" ] && [ ! -d "$at" ]; do
            if [ -e "$at" ] || [ -L "$at" ]; then fail "\`$at\` is no directory: nothing was changed"; fi
            at=${at%/*}
        done
        temporary=$at/.regcert.$$
        if ! (set -C && : >"$temporary") 2>/dev/null; then
            temporary=''
            fail "\`${at:-/}\` cannot be written to: nothing was changed" "$(why_not "$path")"
        fi
        rm -f "$temporary"
        temporary=''
    done
    unset IFS
}

why_not() { # PATH
    case $1 in
    "${store:-none}"/*) echo 'where the system is an image, put ca.crt into that; `--no-system` does the container runtimes' ;;
    *) echo 'is it mounted read-only?' ;;
    esac
}

apply() {
    try_directories
    # The list comes first: what is not on it would be taken for a foreign file.
    save "unfinished  -$newline$list$(cat "$record" 2>/dev/null || true)$newline"
    IFS=$newline
    for line in $writes; do
        unset IFS
        path=${line#* }
        case $path in
        keychain:*) keychain_put "${path#keychain:}" ;;
        *) put "$path" content "${line%% *}" ;;
        esac || fail "\`$path\` cannot be written" 'run this again to finish, or with --uninstall to undo'
    done
    IFS=$newline
    for path in $removals; do
        unset IFS
        case $path in
        keychain:*) security delete-certificate -Z "$(recorded "$path")" -t "$keychain" >/dev/null ;;
        *) rm -f "$path" ;;
        esac || fail "\`$path\` cannot be removed" 'run this again'
    done
    unset IFS
    if needs_refresh; then
        output=$(refresh_store 2>&1) || fail "\`$refresh\` failed: $output" 'mend that, then run this again'
    fi
    conclude
}

needs_refresh() {
    if [ -z "$refresh" ] || [ "$system" = no ]; then return 1; fi
    [ "$stale" = yes ] || changes "$store/"
}

keychain_put() { # STEM
    temporary=${TMPDIR:-/tmp}/$1.$$.crt
    # shellcheck disable=SC2086  # an option or nothing
    (
        set -C
        pem "$1" >"$temporary"
    ) && security add-trusted-cert $keychain_domain -r trustRoot -k "$keychain" "$temporary" && rm -f "$temporary"
}

refresh_store() {
    # Debian's keeps the links to what is gone. `--fresh` would also take out links of others, and never tells Java:
    # a line with `!` in a copy of its configuration does.
    if [ -n "$removals" ] && grep -qs certsconf "$(command -v update-ca-certificates)"; then
        temporary=$record.conf
        cat /etc/ca-certificates.conf >"$temporary" 2>/dev/null || true
        printf '%s' "$removals" | while IFS= read -r path; do
            case $path in
            "$store"/*) if [ -z "$(twins "${path##*/}")" ]; then printf '\n!%s\n' "${path##*/}" >>"$temporary"; fi ;;
            esac
        done
        update-ca-certificates --certsconf "$temporary" || return 1
        rm -f "$temporary"
        temporary=''
    else
        # shellcheck disable=SC2086  # the command and its argument
        $refresh
    fi
}

# The list as it is now; without files, no list and no directory that was made for them.
conclude() {
    IFS=$newline
    if printf '%s' "$list" | grep -qv '^directory  '; then
        save "$list"
    else
        rm -f "$record"
        for line in $(printf '%s' "$list" | sort -r); do
            rmdir "${line#*  }" 2>/dev/null || true
        done
    fi
    unset IFS
}

# ---- programs with a store of their own --------------------------------------

# Whether Java's store is made from the system's: by a hook of Debian's and Alpine's, elsewhere always.
reaches_java() {
    case $store in
    /usr/local/share/ca-certificates)
        [ -e /etc/ca-certificates/update.d/jks-keystore ] || [ -e /etc/ca-certificates/update.d/java-cacerts ]
        ;;
    /etc/pki/* | /etc/ca-certificates/*) has java ;;
    *) return 1 ;;
    esac
}

# Those that are here and do not read the system's store, each with its line.
show_own_stores() {
    if [ "$user" != 0 ] || [ "$system" = no ] || [ "$action" != install ] || [ -z "$refresh" ]; then return 0; fi
    root=$store/${stems%% *}.$extension bundle=''
    for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem; do
        if [ -z "$bundle" ] && [ -e "$file" ]; then bundle=$file; fi
    done
    lines=''
    if has node; then own_store "Node.js: NODE_EXTRA_CA_CERTS=$root"; fi
    if has python3 && [ -n "$bundle" ]; then
        own_store "Python, requests and pip from outside the system's packages: REQUESTS_CA_BUNDLE=$bundle"
    fi
    if has chromium || has chromium-browser || has google-chrome; then
        own_store "Chromium, as its user: certutil -d sql:\$HOME/.pki/nssdb -A -t C,, -n $directory -i $root"
    fi
    if has firefox || has firefox-esr; then
        own_store "Firefox: {\"policies\": {\"Certificates\": {\"Install\": [\"$root\"]}}} in /etc/firefox/policies/policies.json"
    fi
    if [ -n "$lines" ]; then
        say "programs here that do not read the system's store, with what makes them trust the registry:"
        if [ "$quiet" = no ]; then printf '%s' "$lines" >&2; fi
    fi
}

own_store() { lines="$lines  $1$newline"; } # LINE

# ---- all of it -------------------------------------------------------------

show() {
    if [ "$quiet" = yes ]; then return; fi
    if [ "$dry" = yes ]; then say 'this would'; else say 'this will'; fi
    printf '%s' "$writes" | sed 's/^[^ ]* /  write   /' >&2
    printf '%s' "$removals" | sed 's/^/  remove  /' >&2
    printf '%s' "$lax" | sed 's/^/  edit    /' >&2
    if needs_refresh; then
        say "  run     $refresh"
        if [ "$action" = install ] && reaches_java; then
            say "  note    Java gets the root as well, and takes it for every name: with the root's key, any server"
            say '          can be imitated to Java programs here; `--no-system` leaves Java alone'
        fi
    fi
    if [ -n "$host_line" ]; then say "  add     \`$address $host_name\` to $hosts"; fi
    if [ "$host_gone" = yes ]; then say "  remove  the line of $host_name from $hosts"; fi
    printf '%s' "$restarts" | sed 's/^/  run     systemctl restart /' >&2
}

restart_all() {
    for unit in $restarts; do
        if ! systemctl restart "$unit"; then later "restart \`$unit\`: \`systemctl restart $unit\` failed"; fi
    done
}

show_laters() {
    if [ -n "$laters" ]; then
        tell 'left to you:'
        printf '%s' "$laters" >&2
        if [ "$dry" = no ]; then left=yes; fi
    fi
}

main() {
    options ${1+"$@"}
    tools
    user=$(id -u)
    keychain=/Library/Keychains/System.keychain keychain_domain=-d
    if [ "$user" = 0 ]; then
        record=/var/lib/regcert/trust/$directory
        # Nothing else is there after a reboot.
        if [ -d /var/lib/boot2docker ] && [ ! -f "$record" ]; then record=/var/lib/boot2docker/regcert/trust/$directory; fi
    else
        : "${HOME:?is not set}"
        record=${XDG_STATE_HOME:-$HOME/.local/state}/regcert/trust/$directory
        # What a user trusts alone needs no administrator.
        keychain=$HOME/Library/Keychains/login.keychain-db keychain_domain=''
    fi
    say "$registry, root certificate:"
    fingerprints
    if [ "$action" = check ]; then
        check
        return 0
    fi
    left=no
    run
    if [ "$all" = yes ]; then
        for other in $(others); do
            say "$other:"
            directory=$other record=${record%/*}/$other
            run
        done
    else
        show_others
    fi
    if [ "$left" = yes ]; then exit 3; fi
}

run() {
    wanted='' kept='' laters='' restarts='' lax='' cri=off refresh='' host_line='' host_gone=no
    if [ "$user" = 0 ]; then survey_machine; else survey_user; fi
    if [ "$action" = uninstall ]; then wanted=''; fi
    compare
    name_restarts
    survey_lax
    if [ -z "$writes$removals$restarts$lax$host_line" ] && [ "$unfinished$host_gone" = nono ]; then
        if [ "$user" != 0 ] && [ "$action" = install ] && [ -z "$wanted" ]; then
            fail 'there is nothing of your own to trust it' 'the system, and what runs as root, need root: run this with sudo'
        fi
        say 'nothing to do'
        show_laters
        return 0
    fi
    show
    if [ "$dry" = no ]; then
        if [ "$asking" = yes ]; then
            question='Shall this be done?'
            if [ -z "$given" ] && [ "$action" = install ]; then
                question='Did the administrator tell you this fingerprint, and shall this be done?'
            fi
            confirm "$question"
        fi
        apply
        change_hosts
        verify_lax
        restart_all
        say 'done'
        show_own_stores
    fi
    show_laters
}

# Not plainly "$@": some shells take no arguments for a variable that is not set.
main ${1+"$@"}
