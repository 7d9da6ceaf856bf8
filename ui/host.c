/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What all panes share. See ui/host.h.
 */
#include "ui/host.h"

void pane_touch(struct pane *pane, struct box box)
{
    pane->dirty = box_union(pane->dirty, box);
}

void pane_touch_all(struct pane *pane)
{
    pane->dirty = (struct box){0, 0, (int)pane->width, (int)pane->height};
}

void pane_flush(struct pane *pane)
{
    struct canvas canvas;
    struct box drawn;
    bool fresh = false;

    if (!pane->open || !pane->visible || box_is_empty(pane->dirty) ||
        !pane->host->ops->canvas(pane->host->opaque, pane, &canvas, &fresh)) {
        return;
    }
    if (fresh) {
        pane_touch_all(pane);
    }
    drawn = pane->ops->draw(pane, &canvas, box_intersect(pane->dirty, canvas_bounds(&canvas)));
    pane->dirty = (struct box){0};
    pane->host->ops->present(pane->host->opaque, pane, box_intersect(drawn, canvas_bounds(&canvas)));
}
