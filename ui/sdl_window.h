/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Windows of the host's desktop, by SDL 2. ui/sdl_window.c is the only file that includes SDL.
 */
#ifndef UI_SDL_WINDOW_H
#define UI_SDL_WINDOW_H

#include "base/error.h"
#include "ui/host.h"

struct sdl;

/* Load SDL and connect to the display, for the calling thread alone. NULL with the text. */
struct sdl *sdl_create(struct error *error);
void sdl_destroy(struct sdl *sdl);
const struct host *sdl_host(struct sdl *sdl);
/* Wait for events of the desktop, for sdl_ring(), or until the time is over (UINT64_MAX: never), and handle what there is. */
void sdl_wait(struct sdl *sdl, uint64_t timeout_ns);
/* From any thread, without waiting: sdl_wait() returns. */
void sdl_ring(struct sdl *sdl);

#endif
