# Print rows of a table, which are separated by tabs, for people. `what` says which: totals, pages, hosts, ...

function number(value,    text, grouped) {
    text = sprintf("%.0f", value)
    for (; length(text) > 3; text = substr(text, 1, length(text) - 3)) grouped = "," substr(text, length(text) - 2) grouped
    return text grouped
}

function volume(bytes) {
    if (bytes >= 1e9) return sprintf("%.1f GB", bytes / 1e9)
    if (bytes >= 1e6) return sprintf("%.1f MB", bytes / 1e6)
    return sprintf("%.1f kB", bytes / 1e3)
}

function percent(part, whole) {
    return part ? sprintf("%.1f %%", 100 * part / whole) : "-"
}

function bar(value, most,    text) {
    for (n = 1; n <= 46 * value / most + 0.5; n++) text = text "#"
    return text
}

function shortened(text, width) {
    return length(text) <= width ? text : substr(text, 1, width - 3) "..."
}

what == "pages" && NR == 1 { printf "%9s %9s %9s %7s %7s  %s\n", "hits", "visitors", "bytes", "4xx", "5xx", "page" }
what == "pages" {
    printf "%9s %9s %9s %7s %7s  %s\n", number($2), number($6), volume($3), percent($4, $2), percent($5, $2), shortened($1, 60)
}

(what == "hosts" || what == "hours") && NR == 1 {
    printf "%9s %9s %7s %7s  %s\n", "hits", "bytes", "4xx", "5xx", what == "hosts" ? "host" : "hour"
}
what == "hosts" || what == "hours" {
    printf "%9s %9s %7s %7s  %s\n", number($2), volume($3), percent($4, $2), percent($5, $2), shortened($1, 60)
}

what == "statuses" { printf "%9s  %s %s\n", number($2), $1, $4 }

what == "totals" && NR > 1 {
    hits += $2; bytes += $3; client += $4; server += $5
    if (first == "") first = $1
    last = $1
}

what == "day" && NR > 1 {
    hour = substr($1, 12, 2) + 0
    hits_at[hour] += $2
    if (hits_at[hour] > most) most = hits_at[hour]
}

END {
    if (what == "totals") {
        printf "%s requests, %s, %s answered with 4xx, %s with 5xx\n", \
            number(hits), volume(bytes), percent(client, hits), percent(server, hits)
        printf "from %s to %s h\n", first, last
    }
    if (what == "day" && most) {
        for (hour = 0; hour < 24; hour++) printf "  %02d %8s %s\n", hour, number(hits_at[hour]), bar(hits_at[hour], most)
    }
}
