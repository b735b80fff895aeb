#!/bin/sh
# Pushes readings of one source to shiftwatch, from cron or at the end of any script:
#
#     SHIFTWATCH_TOKEN_FILE=/etc/shiftwatch/ingest-token push.sh weather temperature=21.5 humidity=40
#
# The page (`[web] ingest_token_file`) is at SHIFTWATCH_URL, http://127.0.0.1:9110 by default. The place of the readings and
# their time (seconds since 1970) may be given as PLACE and TIME. Ends with 0 once the bus has acknowledged the readings;
# while the daemon or its bus is away it is tried again for a minute.
set -eu

if [ $# -lt 2 ]; then
    echo "usage: push.sh SOURCE NAME=NUMBER..." >&2
    exit 2
fi
source=$1
shift
values=
for reading in "$@"; do
    name=${reading%%=*}
    value=${reading#*=}
    case $reading in
    *=*) ;;
    *) echo "push.sh: '$reading' is not NAME=NUMBER" >&2; exit 2 ;;
    esac
    case $name in
    *[\"\\]*) echo "push.sh: a name must not have quotation marks or backslashes: $name" >&2; exit 2 ;;
    esac
    values="$values${values:+, }\"$name\": $value"
done
message="{\"source\": \"$source\", \"time\": ${TIME:-$(date +%s)}, \"place\": \"${PLACE:-}\", \"values\": {$values}}"

# the token comes by standard input: in the arguments everybody on this machine could read it
printf 'header = "Authorization: Bearer %s"\n' "$(cat "${SHIFTWATCH_TOKEN_FILE:?names the file with the token}")" |
    curl --config - --silent --show-error --fail-with-body --max-time 30 \
        --retry 10 --retry-max-time 60 --retry-connrefused \
        --header 'Content-Type: application/json' --data-binary "$message" \
        "${SHIFTWATCH_URL:-http://127.0.0.1:9110}/ingest"
echo
