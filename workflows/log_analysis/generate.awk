# Print an access log as a web server writes it (Apache's and nginx's "combined" format): one week of a small shop.
#
#     awk -v lines=200000 -f generate.awk
#
# The same lines on every machine: the random numbers are its own (Park and Miller's generator, exact in doubles).
# In it: few pages and hosts have most of the visits; nights and the weekend are quiet; on Thursday from 14 to 15 h
# the search is overloaded; on Tuesday from 3 to 4 h a scanner looks for holes; some requests are garbage; a few lines
# are torn. Addresses are those that are reserved for documentation.

function random() {
    seed = (seed * 16807) % 2147483647
    return seed / 2147483647
}

function add(path, size, is_file) {
    page[++pages] = path
    bytes_of[pages] = size
    is_static[pages] = is_file
}

# Hosts by number: 750 by IPv4, the others by IPv6.
function host_of(number) {
    if (number < 250) return "192.0.2." (number + 1)
    if (number < 500) return "198.51.100." (number - 249)
    if (number < 750) return "203.0.113." (number - 499)
    return sprintf("2001:db8:%x::%x", number % 61, number)
}

function line(host, instant, method, path, status, size, agent) {
    printf "%s - - [%s] \"%s %s HTTP/1.1\" %d %s \"-\" \"%s\"\n", host, instant, method, path, status, size, agent
}

BEGIN {
    seed = 20261109
    add("/", 18200, 0); add("/style.css", 24100, 1); add("/app.js", 81800, 1); add("/logo.svg", 3100, 1)
    add("/search", 15500, 0); add("/cart", 9400, 0); add("/login", 4200, 0); add("/old/catalogue", 230, 0)
    for (n = 1; n <= 40; n++) {
        add("/products/" n, 21000 + n * 137, 0)
        add("/images/" n ".jpg", 64000 + n * 2111, 1)
    }
    for (n = 1; n <= 30; n++) add("/articles/2026/" n, 12000 + n * 911, 0)
    missing = split("/favicon.ico /apple-touch-icon.png /products/99 /articles/2019/3 /old/prices", lost, " ")
    holes = split("/wp-login.php /.env /admin/ /.git/config /phpmyadmin/ /cgi-bin/test", hole, " ")
    agents = split("Mozilla/5.0 (X11; Linux x86_64)|Mozilla/5.0 (Windows NT 10.0)|Mozilla/5.0 (iPhone)|Mozilla/5.0 (Android 16)", agent, "|")
    split("2 1 1 1 1 2 4 8 12 14 15 15 14 14 15 15 14 14 15 17 18 15 9 4", of_hour, " ")
    split("10 10 10 10 9 6 5", of_day, " ")
    for (hour = 0; hour < 168; hour++) whole += of_hour[hour % 24 + 1] * of_day[int(hour / 24) + 1]

    for (hour = 0; hour < 168; hour++) {
        weight += of_hour[hour % 24 + 1] * of_day[int(hour / 24) + 1]
        until = int(lines * weight / whole)
        in_this_hour = until - written
        for (n = 0; written < until; n++) {
            written++
            second = int(n * 3600 / in_this_hour)
            instant = sprintf("%02d/Nov/2026:%02d:%02d:%02d +0000", 9 + int(hour / 24), hour % 24, int(second / 60), second % 60)
            if (written % 33333 == 0) { print substr(host_of(written % 97) " - - [" instant "] \"GET /torn", 1, 40); continue }
            if (written % 9973 == 0) {
                printf "%s - - [%s] \"\\x16\\x03\\x01\" 400 157 \"-\" \"-\"\n", host_of(int(random() * 900)), instant
                continue
            }
            kind = random()
            if (hour == 27 && kind < 0.7) {
                line("203.0.113.251", instant, "GET", hole[1 + int(random() * holes)], 404, 162, "scan/1.0")
                continue
            }
            if (kind < 0.02) {
                line("2001:db8:b07::1", instant, "GET", page[1 + int(random() * pages)], 200, 9000 + int(random() * 9000), "crawler/2.1")
                continue
            }
            few = random(); who = host_of(int(4000 * few * few * few))
            few = random(); what = 1 + int(pages * few * few)
            if (hour == 86 && kind > 0.75) what = 5
            with = agent[1 + int(random() * agents)]
            chance = random()
            path = page[what]; status = 200; size = int(bytes_of[what] * (0.9 + chance / 5)); method = "GET"
            if (chance < 0.012) { path = lost[1 + int(random() * missing)]; status = 404; size = 162 }
            else if (path == "/old/catalogue") status = 301
            else if (is_static[what] && chance < 0.4) { status = 304; size = "-" }
            else if (path == "/search") {
                path = path "?q=" int(random() * 500)
                if (hour == 86 && chance > 0.4) { status = 503; size = 540 }
            }
            else if (path == "/login") { method = "POST"; if (chance > 0.8) status = 401; else status = 302 }
            else if (chance > 0.9992) { status = 500; size = 540 }
            line(who, instant, method, path, status, size, with)
        }
    }
}
