# SPDX-License-Identifier: GPL-3.0-or-later
#
# Medians and ratios of benchmark runs.
#
#   awk -v engines="native dbt qemu" -v json=FILE -v summary=FILE -f table.awk KERNELS RUNS
#
# KERNELS: "NAME GROUP" a line, in the table's order. RUNS: a line "ENGINE REPETITION" and then what hbench
# says, from NAME on (see suite/main.c); what counts is the time of one operation in the fastest batch. Prints
# the table, appends JSON lines to `json`, and writes for chart.awk to `summary`: "NAME GROUP ENGINE MEDIAN
# RATIO" with the ratio to the first engine, or 0. Exit status 2: checksums differ.

function median(name, engine,    n, i, j, t, v) {
    n = 0
    for (i = 1; i <= count[name, engine]; i++) {
        t = time[name, engine, i]
        for (j = n++; j > 0 && v[j] > t; j--) v[j + 1] = v[j]
        v[j + 1] = t
    }
    lowest = n ? v[1] : 0
    highest = n ? v[n] : 0
    return n == 0 ? 0 : n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}

# Three significant digits.
function short(x) {
    return x >= 99.95 ? sprintf("%.0f", x) : x >= 9.995 ? sprintf("%.1f", x) : sprintf("%.2f", x)
}

function duration(ns) {
    if (!ns) return "-"
    if (ns >= 999.5e6) return short(ns / 1e9) " s"
    if (ns >= 999.5e3) return short(ns / 1e6) " ms"
    return ns >= 999.5 ? short(ns / 1e3) " us" : short(ns) " ns"
}

# Repetitions that lie this far apart make a median doubtful.
function unsteady() {
    return lowest && highest > 1.25 * lowest
}

function ratio(x, to) {
    return x && to ? x / to : 0
}

function heading(    e) {
    printf "%-16s", "operation"
    for (e = 1; e <= engine_count; e++) {
        printf " %11s", engine[e] " "
        if (against_native(e)) printf " %8s", "x native"
        if (against_qemu(e)) printf " %7s", "x qemu"
    }
    print ""
}

function against_native(e) { return has_native && engine[e] != "native" }
function against_qemu(e) { return has_qemu && engine[e] != "qemu" && engine[e] != "native" }

function cell(width, x, text) {
    printf " %" width "s", x ? text : "-"
}

function row(name, group,    e, m, mark, base, qemu, first, n, q) {
    base = has_native ? median(name, "native") : 0
    qemu = has_qemu ? median(name, "qemu") : 0
    first = median(name, engine[1])
    printf "%-16s", name
    for (e = 1; e <= engine_count; e++) {
        m = median(name, engine[e])
        n = ratio(m, base); q = ratio(m, qemu)
        mark = m && unsteady() ? "~" : " "
        if (mark == "~") doubtful++
        printf " %11s", duration(m) mark
        if (against_native(e)) { cell(8, n, short(n)); collect(group, e, "native", n) }
        if (against_qemu(e)) { cell(7, q, short(q)); collect(group, e, "qemu", q) }
        if (!m) continue
        printf "%s %s %s %.3f %.5g\n", name, group, engine[e], m, ratio(m, first) >summary
        printf "{\"type\":\"summary\",\"operation\":\"%s\",\"group\":\"%s\",\"engine\":\"%s\",\"runs\":%d,\"median_ns\":%.3f,\"lowest_ns\":%.3f,\"highest_ns\":%.3f,\"to_native\":%s,\"to_qemu\":%s}\n",
               name, group, engine[e], count[name, engine[e]], m, lowest, highest, number(n), number(q) >>json
    }
    print ""
}

function number(x) { return x ? sprintf("%.4g", x) : "null" }

function collect(group, e, to, x) {
    if (!x) return
    logs[group, e, to] += log(x)
    parts[group, e, to]++
}

function mean(group, e, to) {
    return parts[group, e, to] ? exp(logs[group, e, to] / parts[group, e, to]) : 0
}

function mean_row(group,    e, n, q) {
    for (e = 1; e <= engine_count; e++) n += parts[group, e, "native"] + parts[group, e, "qemu"]
    if (!n) return
    printf "%-16s", group " geomean"
    for (e = 1; e <= engine_count; e++) {
        n = mean(group, e, "native"); q = mean(group, e, "qemu")
        printf " %11s", ""
        if (against_native(e)) cell(8, n, short(n))
        if (against_qemu(e)) cell(7, q, short(q))
        if (n || q) {
            printf "{\"type\":\"geomean\",\"group\":\"%s\",\"engine\":\"%s\",\"operations\":%d,\"to_native\":%s,\"to_qemu\":%s}\n",
                   group, engine[e], parts[group, e, n ? "native" : "qemu"], number(n), number(q) >>json
        }
        if (ratio_to_first(e, n)) printf "geomean %s %s 0 %.5g\n", group, engine[e], n >summary
    }
    print ""
}

function ratio_to_first(e, n) { return engine[1] == "native" && e > 1 && n }

BEGIN {
    engine_count = split(engines, engine, " ")
    for (e = 1; e <= engine_count; e++) {
        has_native = has_native || engine[e] == "native"
        has_qemu = has_qemu || engine[e] == "qemu"
    }
    printf "" >summary
}

NR == FNR {
    group_of[++kernels] = $2
    kernel[kernels] = $1
    next
}

{
    time[$3, $1, ++count[$3, $1]] = $7 / $6
    measured[$3] = 1
    if ($3 in checksum && checksum[$3] != $8) {
        differ = differ sprintf("%s: checksum %s (%s, repetition %d), but %s (%s)\n", $3, $8, $1, $2, checksum[$3], by[$3])
    } else {
        checksum[$3] = $8
        by[$3] = $1
    }
}

END {
    heading()
    for (i = 1; i <= kernels; i++) {
        if (i > 1 && group_of[i] != group_of[i - 1]) mean_row(group_of[i - 1])
        if (measured[kernel[i]]) row(kernel[i], group_of[i])
    }
    if (doubtful) print "~ the repetitions lie more than 25 % apart"
    if (differ != "") {
        printf "%s", differ >"/dev/stderr"
        exit 2
    }
}
