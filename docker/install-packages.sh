#!/bin/sh
# Installs the system packages that building Tripline needs, and with --tests those that its tests need. Installs only
# what is missing, so a second run changes nothing and asks for no rights.
#
#   docker/install-packages.sh [--tests] [--print]
#
#   --tests   also Java 17 or later and Maven (the tests' Kafka broker), and an SMTP server (python3-aiosmtpd)
#   --print   prints what it would run, and runs nothing
#
# Knows Debian, Ubuntu, Fedora and Alpine, and what is derived from them. Elsewhere it names what is missing.
set -eu

tests=no
print=no
for argument in "$@"; do
    case $argument in
    --tests) tests=yes ;;
    --print) print=yes ;;
    *)
        echo "install-packages.sh: $argument is not known; it takes --tests and --print" >&2
        exit 2
        ;;
    esac
done

system=unknown
os_release=${OS_RELEASE:-/etc/os-release}
if [ -r "$os_release" ]; then
    # shellcheck disable=SC1090 # the system's own description
    ids=$(. "$os_release" && echo "${ID:-} ${ID_LIKE:-}")
    for id in $ids; do
        case $id in
        debian | ubuntu) system=debian && break ;;
        fedora | rhel) system=fedora && break ;;
        alpine) system=alpine && break ;;
        esac
    done
fi

missing=
packages=
# want WHAT DEBIAN FEDORA ALPINE: names a thing that is missing and the package that has it.
want() {
    missing="$missing $1"
    case $system in
    debian) packages="$packages $2" ;;
    fedora) packages="$packages $3" ;;
    alpine) packages="$packages $4" ;;
    esac
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# A header that the C compiler finds.
has_header() {
    has cc && echo "#include <$1>" | cc -E - >/dev/null 2>&1
}

java_is_recent() {
    has java && version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p') && [ "${version:-0}" -ge 17 ]
}

# Java's package by the newest that the system offers.
debian_java() {
    for java in openjdk-21-jre-headless openjdk-17-jre-headless; do
        if apt-cache show "$java" >/dev/null 2>&1; then
            echo "$java"
            return
        fi
    done
    echo default-jre-headless
}

# librdkafka's configure script is bash.
has bash || want bash bash bash bash
has cc || want c-compiler gcc gcc gcc
has c++ || want c++-compiler g++ gcc-c++ g++
{ has cc && has_header stdio.h; } || want c-headers libc6-dev glibc-devel musl-dev
has make || want make make make make
has pkg-config || want pkg-config pkg-config pkgconf-pkg-config pkgconf
has_header openssl/ssl.h || want openssl-headers libssl-dev openssl-devel openssl-dev
has_header zlib.h || want zlib-headers zlib1g-dev zlib-devel zlib-dev

if [ "$tests" = yes ]; then
    java_is_recent || want java-17 JAVA java-21-openjdk-headless openjdk21-jre-headless
    has mvn || want maven maven maven maven
    # The python3 of the PATH may be another than the system's, which has the system's packages.
    python3 -c 'import aiosmtpd' 2>/dev/null || /usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null ||
        want aiosmtpd python3-aiosmtpd python3-aiosmtpd py3-aiosmtpd
fi

if [ -z "$missing" ]; then
    exit 0
fi

run() {
    if [ "$print" = yes ]; then
        echo "$*"
    elif [ "$(id -u)" = 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        echo "install-packages.sh: not root and no sudo; as root, run: $*" >&2
        exit 1
    fi
}

# shellcheck disable=SC2086 # the packages are words
case $system in
debian)
    run apt-get update -q
    case $packages in
    *JAVA*) packages=$(echo "$packages" | sed "s/JAVA/$(debian_java)/") ;;
    esac
    run env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages
    ;;
fedora)
    run dnf install -q -y $packages
    ;;
alpine)
    run apk add -q $packages
    ;;
*)
    echo "install-packages.sh: this system is not known; please install:$missing" >&2
    exit 1
    ;;
esac
