# Make the tables that are kept: pages with their visitors, statuses with their names, hosts and hours.
#
# `join` brings two sorted tables together by their first column. Most hits come first; hours in their order.
set -eu

tab=$(printf '\t')

headed() { # FILE TITLES...: write standard input below a line of titles
    file=$1
    shift
    (
        IFS=$tab
        printf '%s\n' "$*"
        cat
    ) >"$file"
}

by_hits() { sort -t "$tab" -k 2,2nr -k 1,1 "$1"; }

join -t "$tab" "$WATTLE_INPUT_PAGES" "$WATTLE_INPUT_VISITORS" >"$WATTLE_OUTPUT_PAGES.joined"
by_hits "$WATTLE_OUTPUT_PAGES.joined" |
    headed "$WATTLE_OUTPUT_PAGES" page hits bytes client_errors server_errors visitors
join -t "$tab" -a 1 "$WATTLE_INPUT_STATUSES" ../../log_analysis/statuses.tsv >"$WATTLE_OUTPUT_STATUSES.joined"
by_hits "$WATTLE_OUTPUT_STATUSES.joined" | cut -f 1-3,6 | headed "$WATTLE_OUTPUT_STATUSES" status hits bytes meaning
by_hits "$WATTLE_INPUT_HOSTS" | headed "$WATTLE_OUTPUT_HOSTS" host hits bytes client_errors server_errors
headed "$WATTLE_OUTPUT_HOURS" hour hits bytes client_errors server_errors <"$WATTLE_INPUT_HOURS"
rm "$WATTLE_OUTPUT_PAGES.joined" "$WATTLE_OUTPUT_STATUSES.joined"
wc -l "$WATTLE_OUTPUT_PAGES" "$WATTLE_OUTPUT_HOSTS" "$WATTLE_OUTPUT_STATUSES" "$WATTLE_OUTPUT_HOURS"
