# Count one part of a log: hits, bytes and errors by page, host, status and hour.
#
# Understands the "common" and the "combined" format, one request a line:
#     host identity user [10/Nov/2026:13:55:36 +0000] "GET /page?query HTTP/1.1" 200 2326 ...
# A page is a path without its query; the times are the log's own. What is not such a line goes to `rejected`. A line
# whose request is garbage counts as a hit of the page `(no request)`. Tables are separated by tabs:
#     pages, hosts, statuses   key, hits, bytes, errors of the client (4xx), errors of the server (5xx)
#     hours                    the same by 2026-11-10T13
#     visits                   page, host: each pair once
# Sums are printed with %.0f, for %d and print may end at 2^31.

BEGIN {
    split("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec", names, " ")
    for (n = 1; n <= 12; n++) month_of[names[n]] = sprintf("%02d", n)
    rejected = ENVIRON["WATTLE_OUTPUT_REJECTED"]
    printf "" >rejected
}

{
    text = $0
    gsub(/\\"/, "%22", text)
    quoted = split(text, piece, "\"")
    opened = index(piece[1], " [")
    split(substr(piece[1], opened + 2), time, /[\/:]/)
    after = split(piece[3], answer, " ")
    host = substr(piece[1], 1, index(piece[1], " ") - 1)
    if (quoted < 3 || !opened || host == "" || !(time[2] in month_of) || after < 2 || answer[1] !~ /^[1-5][0-9][0-9]$/) {
        print >rejected
        next
    }
    words = split(piece[2], request, " ")
    page = words == 3 && request[3] ~ /^HTTP\// ? request[2] : "(no request)"
    if (query = index(page, "?")) page = substr(page, 1, query - 1)
    status = answer[1]
    hour = time[3] "-" month_of[time[2]] "-" time[1] "T" time[4]
    size = answer[2] + 0 # 0 for "-", which says that nothing was sent

    hits["pages", page]++;       bytes["pages", page] += size
    hits["hosts", host]++;       bytes["hosts", host] += size
    hits["statuses", status]++;  bytes["statuses", status] += size
    hits["hours", hour]++;       bytes["hours", hour] += size
    visits[page "\t" host]
    if (status >= 400) {
        errors = status >= 500 ? "server" : "client"
        failed[errors, "pages", page]++
        failed[errors, "hosts", host]++
        failed[errors, "statuses", status]++
        failed[errors, "hours", hour]++
    }
}

END {
    for (name in hits) {
        split(name, part, SUBSEP)
        printf "%s\t%.0f\t%.0f\t%.0f\t%.0f\n", part[2], hits[name], bytes[name], failed["client", name], failed["server", name] \
            >ENVIRON["WATTLE_OUTPUT_" toupper(part[1])]
    }
    for (visit in visits) print visit >ENVIRON["WATTLE_OUTPUT_VISITS"]
}
