# SPDX-License-Identifier: GPL-3.0-or-later
#
# Draws what table.awk wrote as its summary: times relative to the first engine, as bars on a logarithmic
# scale, in SVG.
#
#   awk -v engines="native dbt qemu" -v caption=TEXT -f chart.awk SUMMARY >FILE.svg
#
# The picture brings its own white background and uses attributes only, so it looks the same wherever it is
# shown.

function x_of(ratio) {
    return left + (log(ratio) / log(10) - low) * decade
}

function escaped(text) {
    gsub(/&/, "\\&amp;", text)
    gsub(/</, "\\&lt;", text)
    return text
}

function write(x, y, anchor, size, weight, colour, text) {
    printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" font-size=\"%d\" font-weight=\"%s\" fill=\"%s\">%s</text>\n",
           x, y, anchor, size, weight, colour, escaped(text)
}

function short(x) {
    return x >= 99.95 ? sprintf("%.0f", x) : x >= 9.995 ? sprintf("%.1f", x) : sprintf("%.2f", x)
}

function draw_scale(    d, k, x) {
    for (d = low; d <= high; d++) {
        x = x_of(10 ^ d)
        printf "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x, top, x, bottom,
               d == 0 ? "#333333" : "#c8c8c8"
        write(x, top - 6, "middle", 11, "normal", "#333333", 10 ^ d "x")
        for (k = 2; k < 10 && d < high; k++)
            printf "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#eeeeee\"/>\n", x_of(k * 10 ^ d), top,
                   x_of(k * 10 ^ d), bottom
    }
}

function draw_legend(    e, x) {
    x = left
    for (e = 2; e <= engine_count; e++) {
        printf "<rect x=\"%.1f\" y=\"34\" width=\"11\" height=\"11\" fill=\"%s\"/>\n", x, colour_of[engine[e]]
        write(x + 16, 44, "start", 12, "normal", "#333333", engine[e])
        x += 30 + 8 * length(engine[e])
    }
}

function draw_row(i, y,    e, r, a, b) {
    write(left - 8, y + row_height[i] / 2 + 2, "end", 12, name[i] == "geomean" ? "bold" : "normal", "#111111",
          name[i] == "geomean" ? group[i] " geomean" : name[i])
    for (e = 2; e <= engine_count; e++) {
        r = value[i, engine[e]]
        if (!r) continue
        a = x_of(r < 1 ? r : 1)
        b = x_of(r < 1 ? 1 : r)
        printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", a, y + 3, b - a < 1 ? 1 : b - a,
               bar - 1, colour_of[engine[e]]
        write(b + 4, y + 3 + bar - 3, "start", 10, "normal", "#333333", short(r))
        y += bar
    }
}

BEGIN {
    engine_count = split(engines, engine, " ")
    colour_of["dbt"] = "#1b6ca8"; colour_of["qemu"] = "#d9822b"; colour_of["interp"] = "#8a8f98"
    colour_of["baseline"] = "#5b9a4a"; colour_of["native"] = "#b04a5a"
    left = 150; plot = 600; top = 76; bar = 11
}

$3 == engine[1] && $1 != "geomean" { next }

$5 > 0 {
    key = $1 == "geomean" ? $1 " " $2 : $1
    if (!(key in index_of)) {
        index_of[key] = ++rows
        name[rows] = $1
        group[rows] = $2
    }
    value[index_of[key], $3] = $5
    if (log($5) < smallest) smallest = log($5)
    if (log($5) > largest) largest = log($5)
}

END {
    low = int(smallest / log(10)) - (smallest < 0)
    high = int(largest / log(10)) + 1
    decade = plot / (high - low)
    height = top
    for (i = 1; i <= rows; i++) {
        row_height[i] = 6 + bar * (engine_count > 1 ? engine_count - 1 : 1)
        height += row_height[i] + (i > 1 && group[i] != group[i - 1] ? 14 : 0)
    }
    bottom = height
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\">\n",
           left + plot + 60, height + 34, left + plot + 60, height + 34
    printf "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n"
    write(left, 22, "start", 15, "bold", "#111111", "Time relative to " engine[1] ", logarithmic (shorter is faster)")
    draw_legend()
    draw_scale()
    y = top
    for (i = 1; i <= rows; i++) {
        if (i > 1 && group[i] != group[i - 1]) y += 14
        draw_row(i, y)
        y += row_height[i]
    }
    write(left, height + 22, "start", 11, "normal", "#555555", caption)
    print "</svg>"
}
