#!/bin/sh
# Runs one Apache Kafka broker for the tests until its standard input ends, then kills it and removes its files.
#
#   broker.sh fetch             only fetches the broker's jars, when they are missing
#   broker.sh run DIR           formats DIR/data and runs the broker of DIR/server.properties; logs to DIR/broker.log,
#                               its process id in DIR/pid
#   broker.sh again DIR         runs it on the data that it left when it was killed
#
# The jars lie under ${TRIPLINE_TEST_CACHE:-target/kafka}/libs. SCRAM, when set, is a user for `StorageTool format`.
# BROKER_JVM takes the place of the JVM's flags, which are for a quick start.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${TRIPLINE_TEST_CACHE:-$here/../../target/kafka}

need() {
    command -v "$1" >/dev/null 2>&1 || {
        echo "broker.sh: $1 is missing; docker/install-packages.sh --tests installs it" >&2
        exit 1
    }
}

fetch() {
    [ -e "$cache/complete" ] && return
    need mvn
    mkdir -p "$cache"
    # Into a folder of its own first: several runs may fetch at once, and one may be cut off.
    new=$(mktemp -d "$cache/libs.XXXXXX")
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies "-DoutputDirectory=$new" >&2
    [ -e "$cache/complete" ] || { rm -rf "$cache/libs" && mv "$new" "$cache/libs" && touch "$cache/complete"; }
    rm -rf "$new"
}

# Not changed by an interrupt of the terminal: what counts is the end of standard input.
trap '' INT HUP

jvm="${BROKER_JVM:--Xmx768m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn}"

storage() {
    # shellcheck disable=SC2086 # the flags are words
    java $jvm -cp "$cache/libs/*" kafka.tools.StorageTool "$@"
}

need java
fetch
[ "$1" = fetch ] && exit

dir=$2
config=$dir/server.properties
if [ "$1" = run ]; then
    id=$(storage random-uuid 2>/dev/null)
    if [ -n "${SCRAM:-}" ]; then
        storage format -t "$id" -c "$config" --add-scram "$SCRAM" >"$dir/format.log" 2>&1
    else
        storage format -t "$id" -c "$config" >"$dir/format.log" 2>&1
    fi
fi

exec 3<&0
# shellcheck disable=SC2086
java $jvm -cp "$cache/libs/*" kafka.Kafka "$config" </dev/null >"$dir/broker.log" 2>&1 3<&- &
broker=$!
echo "$broker" >"$dir/pid"
# Standard input ends with the test process, however that ends.
{
    cat <&3 >/dev/null
    touch "$dir/ended"
    kill -9 "$broker"
} &
watcher=$!
{ wait "$broker"; } 2>/dev/null || true
if [ -e "$dir/ended" ]; then
    rm -rf "$dir"
else
    # The broker ended by itself: its log stays, for the one who asks why.
    kill "$watcher"
    exit 1
fi
