/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The colours of what we draw ourselves, 0x00RRGGBB. Text on its ground has a contrast of 7:1 and more (WCAG 2, level AAA).
 */
#ifndef UI_PALETTE_H
#define UI_PALETTE_H

enum {
    PALETTE_BLACK = 0x000000,
    PALETTE_GROUND = 0x20242a, /* strip, overview */
    PALETTE_RAISED = 0x2f353d, /* dialogs, tiles */
    PALETTE_EDGE = 0x5b6673,
    PALETTE_TEXT = 0xe8eaed,
    PALETTE_FAINT = 0xaab4bf,  /* less important text */
    PALETTE_CHOSEN = 0x1f4f8f, /* behind the chosen line */
    PALETTE_FOCUS = 0x63a4ff,
    PALETTE_RUNNING = 0x7fd69a,
    PALETTE_PAUSED = 0xf2c14e,
    PALETTE_STOPPED = 0xff9a8a,
    PALETTE_LIGHT_OFF = 0x48515c,
    PALETTE_LIGHT_ON = 0x59e07c,
};

#endif
