/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Windows by SDL 2; the only file that includes it. See ui/sdl_window.h.
 *
 * SDL comes with some forty shared libraries, which would make every start of the program slower, so it is loaded when a window
 * is wanted, and called through a table.
 *
 * All of SDL is called on one thread. It sleeps in poll() on the connection to the display server and an eventfd, the bell, so
 * that whoever rings never waits for a display server. (SDL's own way, SDL_PushEvent(), sends a message through the server, to a
 * window that may be gone when it arrives.) Where we do not know the connection, we look for events at short intervals.
 *
 * Pictures are drawn by the processor into the window's surface (shared memory of the X server where there is that) and only
 * the rectangles that changed are sent. No OpenGL: it would bring code generators and threads of its own into the process.
 *
 * Source: SDL 2.26 wiki and headers.
 */
#include "ui/sdl_window.h"

#include <SDL.h>
#include <SDL_syswm.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "ui/keymap.h"
#include "ui/palette.h"

#define LIBRARY  "libSDL2-2.0.so.0"
#define BLIND_NS 10000000u /* between looks at events that nobody tells us of */

#define FUNCTIONS(X)                                                                                         \
    X(CreateRGBSurfaceFrom)                                                                                  \
    X(CreateRGBSurfaceWithFormat)                                                                            \
    X(CreateWindow)                                                                                          \
    X(DestroyWindow)                                                                                         \
    X(EventState)                                                                                            \
    X(FreeSurface)                                                                                           \
    X(GetClipboardText)                                                                                      \
    X(GetDisplayDPI)                                                                                         \
    X(GetDisplayUsableBounds)                                                                                \
    X(GetError)                                                                                              \
    X(GetMouseFocus)                                                                                         \
    X(GetWindowDisplayIndex)                                                                                 \
    X(GetWindowFlags)                                                                                        \
    X(GetWindowFromID)                                                                                       \
    X(GetWindowData)                                                                                         \
    X(GetWindowSize)                                                                                         \
    X(GetWindowSizeInPixels)                                                                                 \
    X(GetWindowWMInfo)                                                                                       \
    X(GetWindowSurface)                                                                                      \
    X(HideWindow)                                                                                            \
    X(Init)                                                                                                  \
    X(PollEvent)                                                                                             \
    X(Quit)                                                                                                  \
    X(RaiseWindow)                                                                                           \
    X(RestoreWindow)                                                                                         \
    X(SetClipboardText)                                                                                      \
    X(SetHint)                                                                                               \
    X(SetRelativeMouseMode)                                                                                  \
    X(SetWindowData)                                                                                         \
    X(SetWindowFullscreen)                                                                                   \
    X(SetWindowIcon)                                                                                         \
    X(SetWindowKeyboardGrab)                                                                                 \
    X(SetWindowMinimumSize)                                                                                  \
    X(SetWindowSize)                                                                                         \
    X(SetWindowTitle)                                                                                        \
    X(ShowCursor)                                                                                            \
    X(ShowWindow)                                                                                            \
    X(StartTextInput)                                                                                        \
    X(StopTextInput)                                                                                         \
    X(UpdateWindowSurfaceRects)                                                                              \
    X(UpperBlit)                                                                                             \
    X(free)

#define MEMBER(name) __typeof__(SDL_##name) *name;
#define ENTRY(name)  {"SDL_" #name, offsetof(struct sdl_functions, name)},

struct sdl_functions {
    FUNCTIONS(MEMBER)
};

static const struct {
    const char *name;
    size_t offset;
} function_names[] = {FUNCTIONS(ENTRY)};

struct sdl {
    struct sdl_functions call;
    void *library;
    struct host host;
    uint8_t buttons; /* down, enum input_button */
    int bell;        /* eventfd */
    int connection;  /* to the display server; -1: not known */
    bool initialised;
};

/* A pane's. */
struct sdl_window {
    struct pane *pane;
    SDL_Window *window;
    SDL_Surface *other; /* what is drawn on where the window's own format is not ours; NULL: it is */
    int asked_width, asked_height; /* the size we asked for, in the desktop's units */
    bool fresh, cursor_hidden;
};

enum {
    MIN_WIDTH = 320,
    MIN_HEIGHT = 200,
    ICON_SIZE = 64,
    DPI_ONE = 96,
    PERCENT_STEP = 50,
    PERCENT_MAX = 400
};

/* ---- loading ---- */

static int load(struct sdl *sdl, struct error *error)
{
    sdl->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!sdl->library) {
        return error_set(
            error, -ENOENT,
            "-display sdl: %s is not installed (Debian package libsdl2-2.0-0); none and text need it not",
            LIBRARY);
    }
    for (size_t i = 0; i < ARRAY_LEN(function_names); i++) {
        void *function = dlsym(sdl->library, function_names[i].name);

        if (!function) {
            return error_set(error, -ENOENT, "-display sdl: %s is too old: it has no %s (2.26 has)", LIBRARY,
                             function_names[i].name);
        }
        memcpy((char *)&sdl->call + function_names[i].offset, &function, sizeof(function));
    }
    return 0;
}

static void set_hints(struct sdl *sdl)
{
    static const struct {
        const char *name, *value;
    } hints[] = {{SDL_HINT_VIDEODRIVER,
                  "x11,wayland"}, /* no taking over of the console; the environment may say else */
                 {SDL_HINT_NO_SIGNAL_HANDLERS, "1"}, /* main() has its own way */
                 {SDL_HINT_QUIT_ON_LAST_WINDOW_CLOSE, "0"},
                 {SDL_HINT_VIDEO_ALLOW_SCREENSAVER, "1"},
                 {SDL_HINT_FRAMEBUFFER_ACCELERATION, "0"},
                 {SDL_HINT_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR, "0"},
                 {SDL_HINT_VIDEO_MINIMIZE_ON_FOCUS_LOSS, "0"},
                 {SDL_HINT_MOUSE_RELATIVE_SCALING, "0"},
                 {SDL_HINT_MOUSE_AUTO_CAPTURE, "0"},
                 {SDL_HINT_GRAB_KEYBOARD, "1"},
                 {SDL_HINT_APP_NAME, "Hypatia"}};

    for (size_t i = 0; i < ARRAY_LEN(hints); i++) {
        sdl->call.SetHint(hints[i].name, hints[i].value);
    }
}

/* ---- the bell ---- */

void sdl_ring(struct sdl *sdl)
{
    uint64_t one = 1;
    ssize_t n = write(sdl->bell, &one, sizeof(one));

    (void)n; /* EAGAIN: it has been rung often enough */
}

/* What a library that SDL has loaded says of its display's connection. */
static int ask_connection(const char *library, const char *function, void *display)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_NOLOAD);
    int (*ask)(void *display);
    void *found = handle ? dlsym(handle, function) : NULL;
    int fd = -1;

    if (found) {
        memcpy(&ask, &found, sizeof(ask));
        fd = ask(display);
    }
    if (handle) {
        dlclose(handle);
    }
    return fd;
}

static void find_connection(struct sdl *sdl, SDL_Window *window)
{
    SDL_SysWMinfo info = {0};

    SDL_VERSION(&info.version);
    if (sdl->connection >= 0 || !sdl->call.GetWindowWMInfo(window, &info)) {
        return;
    }
    if (info.subsystem == SDL_SYSWM_X11) {
        sdl->connection = ask_connection("libX11.so.6", "XConnectionNumber", info.info.x11.display);
    } else if (info.subsystem == SDL_SYSWM_WAYLAND) {
        sdl->connection = ask_connection("libwayland-client.so.0", "wl_display_get_fd", info.info.wl.display);
    }
}

/* ---- windows ---- */

static struct sdl_window *native(const struct pane *pane)
{
    return pane->native;
}

/* Pixels for one of the desktop's units of length. */
static double density(const struct sdl *sdl, SDL_Window *window)
{
    int units = 0, pixels = 0, height;

    sdl->call.GetWindowSize(window, &units, &height);
    sdl->call.GetWindowSizeInPixels(window, &pixels, &height);
    return units > 0 && pixels > 0 ? (double)pixels / units : 1.0;
}

/* How large things should be drawn: by the desktop's own scale, or the screen's dots an inch, in steps. */
static unsigned find_percent(const struct sdl *sdl, SDL_Window *window)
{
    double scale = density(sdl, window);
    float dpi = 0;
    unsigned percent;

    if (scale <= 1.0 &&
        sdl->call.GetDisplayDPI(sdl->call.GetWindowDisplayIndex(window), NULL, &dpi, NULL) == 0) {
        scale = (double)dpi / DPI_ONE;
    }
    percent = (unsigned)(MIN(MAX(scale, 1.0), 4.0) * 100) / PERCENT_STEP * PERCENT_STEP;
    return MIN(percent, (unsigned)PERCENT_MAX);
}

/* What can be seen of it, and how large it is. */
static void refresh(struct sdl *sdl, struct sdl_window *own)
{
    int width, height;
    uint32_t flags = sdl->call.GetWindowFlags(own->window);

    sdl->call.GetWindowSizeInPixels(own->window, &width, &height);
    own->pane->width = (unsigned)MAX(width, 1);
    own->pane->height = (unsigned)MAX(height, 1);
    own->pane->percent = find_percent(sdl, own->window);
    own->pane->visible = !(flags & (SDL_WINDOW_HIDDEN | SDL_WINDOW_MINIMIZED));
}

static void set_icon(struct sdl *sdl, SDL_Window *window)
{
    uint32_t pixel[ICON_SIZE * ICON_SIZE];
    struct canvas canvas = {pixel, ICON_SIZE, ICON_SIZE, ICON_SIZE};
    SDL_Surface *surface;

    canvas_fill(&canvas, canvas_bounds(&canvas), PALETTE_CHOSEN);
    canvas_frame(&canvas, canvas_bounds(&canvas), 3, PALETTE_FOCUS);
    canvas_text(&canvas, ICON_SIZE / 4, 0, ICON_SIZE, 400, "H", PALETTE_TEXT);
    surface = sdl->call.CreateRGBSurfaceFrom(pixel, ICON_SIZE, ICON_SIZE, 32, ICON_SIZE * 4, 0xff0000, 0xff00,
                                             0xff, 0);
    if (surface) {
        sdl->call.SetWindowIcon(window, surface);
        sdl->call.FreeSurface(surface);
    }
}

/* The size in the desktop's units, made to fit the screen with its aspect. */
static void find_units(struct sdl *sdl, struct sdl_window *own, unsigned width, unsigned height)
{
    double scale = own->window ? density(sdl, own->window) : 1.0, fit = 1.0;
    int display = own->window ? sdl->call.GetWindowDisplayIndex(own->window) : 0;
    SDL_Rect bounds;

    if (sdl->call.GetDisplayUsableBounds(MAX(display, 0), &bounds) == 0 && bounds.w > 0 && bounds.h > 0) {
        fit = MIN(fit, bounds.w * scale / width);
        fit = MIN(fit, bounds.h * scale / height);
    }
    own->asked_width = (int)MAX(width * fit / scale, (double)MIN_WIDTH);
    own->asked_height = (int)MAX(height * fit / scale, (double)MIN_HEIGHT);
}

static bool host_open(void *opaque, struct pane *pane, const char *title, bool shown, bool full_screen)
{
    struct sdl *sdl = opaque;
    struct sdl_window *own = calloc(1, sizeof(*own));
    uint32_t flags = SDL_WINDOW_RESIZABLE | SDL_WINDOW_ALLOW_HIGHDPI | (shown ? 0 : SDL_WINDOW_HIDDEN) |
                     (full_screen ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);

    if (!own) {
        return false;
    }
    own->pane = pane;
    find_units(sdl, own, pane->width, pane->height);
    own->window = sdl->call.CreateWindow(title, SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED,
                                         own->asked_width, own->asked_height, flags);
    if (!own->window) {
        fprintf(stderr, "hypatia: cannot open a window: %s\n", sdl->call.GetError());
        free(own);
        return false;
    }
    own->fresh = true;
    pane->native = own;
    sdl->call.SetWindowData(own->window, "own", own);
    sdl->call.SetWindowMinimumSize(own->window, MIN_WIDTH, MIN_HEIGHT);
    set_icon(sdl, own->window);
    find_connection(sdl, own->window);
    refresh(sdl, own);
    return true;
}

static void host_close(void *opaque, struct pane *pane)
{
    struct sdl *sdl = opaque;
    struct sdl_window *own = native(pane);

    sdl->call.FreeSurface(own->other);
    sdl->call.DestroyWindow(own->window);
    free(own);
    pane->native = NULL;
}

static void host_show(void *opaque, struct pane *pane, bool shown)
{
    struct sdl *sdl = opaque;
    struct sdl_window *own = native(pane);

    if (shown) {
        sdl->call.ShowWindow(own->window);
        if (sdl->call.GetWindowFlags(own->window) & SDL_WINDOW_MINIMIZED) {
            sdl->call.RestoreWindow(own->window);
        }
        sdl->call.RaiseWindow(own->window);
    } else {
        sdl->call.HideWindow(own->window);
    }
    refresh(sdl, own);
}

static void host_set_title(void *opaque, struct pane *pane, const char *title)
{
    struct sdl *sdl = opaque;

    sdl->call.SetWindowTitle(native(pane)->window, title);
}

static void host_set_size(void *opaque, struct pane *pane, unsigned width, unsigned height)
{
    struct sdl *sdl = opaque;
    struct sdl_window *own = native(pane);

    find_units(sdl, own, width, height);
    sdl->call.SetWindowSize(own->window, own->asked_width, own->asked_height);
    refresh(sdl, own);
    own->fresh = true;
}

static void host_set_full_screen(void *opaque, struct pane *pane, bool on)
{
    struct sdl *sdl = opaque;

    sdl->call.SetWindowFullscreen(native(pane)->window, on ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);
    refresh(sdl, native(pane));
    native(pane)->fresh = true;
}

static void host_set_grab(void *opaque, struct pane *pane, bool on, bool relative)
{
    struct sdl *sdl = opaque;

    sdl->call.SetWindowKeyboardGrab(native(pane)->window, on ? SDL_TRUE : SDL_FALSE);
    sdl->call.SetRelativeMouseMode(on && relative ? SDL_TRUE : SDL_FALSE);
}

/* SDL has one cursor for all windows: it is as the window under it wants it. */
static void apply_cursor(struct sdl *sdl, const struct sdl_window *own)
{
    sdl->call.ShowCursor(own->cursor_hidden ? SDL_DISABLE : SDL_ENABLE);
}

static void host_set_cursor(void *opaque, struct pane *pane, bool visible)
{
    struct sdl *sdl = opaque;
    struct sdl_window *own = native(pane);

    own->cursor_hidden = !visible;
    if (sdl->call.GetMouseFocus() == own->window) {
        apply_cursor(sdl, own);
    }
}

static void host_set_text_input(void *opaque, struct pane *pane, bool on)
{
    struct sdl *sdl = opaque;

    (void)pane;
    if (on) {
        sdl->call.StartTextInput();
    } else {
        sdl->call.StopTextInput();
    }
}

/* ---- pictures ---- */

static bool is_our_format(const SDL_Surface *surface)
{
    const SDL_PixelFormat *format = surface->format;

    return format->BitsPerPixel == 32 && format->Rmask == 0xff0000 && format->Gmask == 0xff00 &&
           format->Bmask == 0xff && surface->pitch % 4 == 0;
}

/* The surface to draw on: the window's, or one of the same size in our format. */
static SDL_Surface *find_surface(struct sdl *sdl, struct sdl_window *own, SDL_Surface *surface)
{
    if (is_our_format(surface)) {
        return surface;
    }
    if (own->other && (own->other->w != surface->w || own->other->h != surface->h)) {
        sdl->call.FreeSurface(own->other);
        own->other = NULL;
    }
    if (!own->other) {
        own->other =
            sdl->call.CreateRGBSurfaceWithFormat(0, surface->w, surface->h, 32, SDL_PIXELFORMAT_RGB888);
        own->fresh = true;
    }
    return own->other;
}

static bool host_canvas(void *opaque, struct pane *pane, struct canvas *canvas, bool *fresh)
{
    struct sdl *sdl = opaque;
    struct sdl_window *own = native(pane);
    SDL_Surface *surface = sdl->call.GetWindowSurface(own->window);

    surface = surface ? find_surface(sdl, own, surface) : NULL;
    if (!surface) {
        return false;
    }
    *fresh = own->fresh;
    own->fresh = false;
    *canvas = (struct canvas){surface->pixels, (unsigned)surface->w, (unsigned)surface->h,
                              (unsigned)surface->pitch / 4};
    return true;
}

static void host_present(void *opaque, struct pane *pane, struct box box)
{
    struct sdl *sdl = opaque;
    struct sdl_window *own = native(pane);
    SDL_Rect rect = {box.x, box.y, box.width, box.height}, from = rect;
    SDL_Surface *surface = sdl->call.GetWindowSurface(own->window);

    if (!surface || box_is_empty(box)) {
        return;
    }
    if (own->other) {
        sdl->call.UpperBlit(own->other, &from, surface, &rect);
    }
    sdl->call.UpdateWindowSurfaceRects(own->window, &rect, 1);
}

/* ---- the clipboard ---- */

static void host_copy(void *opaque, const char *text)
{
    struct sdl *sdl = opaque;

    sdl->call.SetClipboardText(text);
}

static char *host_paste(void *opaque)
{
    struct sdl *sdl = opaque;
    char *text = sdl->call.GetClipboardText();
    char *copy = text ? strdup(text) : NULL;

    sdl->call.free(text);
    return copy;
}

static const struct host_ops host_ops = {
    .open = host_open,
    .close = host_close,
    .show = host_show,
    .set_title = host_set_title,
    .set_size = host_set_size,
    .set_full_screen = host_set_full_screen,
    .set_grab = host_set_grab,
    .set_cursor = host_set_cursor,
    .set_text_input = host_set_text_input,
    .canvas = host_canvas,
    .present = host_present,
    .copy = host_copy,
    .paste = host_paste,
};

/* ---- events ---- */

static struct sdl_window *find_window(struct sdl *sdl, uint32_t id)
{
    SDL_Window *window = sdl->call.GetWindowFromID(id);

    return window ? sdl->call.GetWindowData(window, "own") : NULL;
}

static void window_changed_size(struct sdl *sdl, struct sdl_window *own, int width, int height)
{
    bool by_user = width != own->asked_width || height != own->asked_height;

    refresh(sdl, own);
    own->fresh = true;
    own->pane->ops->resized(own->pane, by_user);
}

static void handle_window(struct sdl *sdl, const SDL_WindowEvent *event)
{
    struct sdl_window *own = find_window(sdl, event->windowID);

    if (!own) {
        return;
    }
    switch (event->event) {
    case SDL_WINDOWEVENT_SIZE_CHANGED:
        window_changed_size(sdl, own, event->data1, event->data2);
        break;
    case SDL_WINDOWEVENT_SHOWN:
    case SDL_WINDOWEVENT_HIDDEN:
    case SDL_WINDOWEVENT_MINIMIZED:
    case SDL_WINDOWEVENT_MAXIMIZED:
    case SDL_WINDOWEVENT_RESTORED:
    case SDL_WINDOWEVENT_EXPOSED:
    case SDL_WINDOWEVENT_DISPLAY_CHANGED:
        refresh(sdl, own);
        pane_touch_all(own->pane);
        break;
    case SDL_WINDOWEVENT_FOCUS_GAINED:
    case SDL_WINDOWEVENT_FOCUS_LOST:
        own->pane->ops->focus(own->pane, event->event == SDL_WINDOWEVENT_FOCUS_GAINED);
        break;
    case SDL_WINDOWEVENT_ENTER:
        apply_cursor(sdl, own);
        break;
    case SDL_WINDOWEVENT_CLOSE:
        own->pane->ops->close(own->pane);
        break;
    default:
        break;
    }
}

/* Guests repeat keys by themselves; in our own lists only moving and deleting repeat. */
static bool is_wanted(const SDL_KeyboardEvent *event)
{
    switch (event->keysym.scancode) {
    case SDL_SCANCODE_UP:
    case SDL_SCANCODE_DOWN:
    case SDL_SCANCODE_LEFT:
    case SDL_SCANCODE_RIGHT:
    case SDL_SCANCODE_BACKSPACE:
        return true;
    default:
        return !event->repeat;
    }
}

static void handle_key(struct sdl *sdl, const SDL_KeyboardEvent *event)
{
    struct sdl_window *own = find_window(sdl, event->windowID);
    enum key key = keymap_find((unsigned)event->keysym.scancode);

    if (own && key && is_wanted(event)) {
        own->pane->ops->key(own->pane, key, event->type == SDL_KEYDOWN);
    }
}

static void handle_button(struct sdl *sdl, const SDL_MouseButtonEvent *event)
{
    static const uint8_t buttons[] = {[SDL_BUTTON_LEFT] = INPUT_BUTTON_LEFT,
                                      [SDL_BUTTON_MIDDLE] = INPUT_BUTTON_MIDDLE,
                                      [SDL_BUTTON_RIGHT] = INPUT_BUTTON_RIGHT,
                                      [SDL_BUTTON_X1] = INPUT_BUTTON_SIDE,
                                      [SDL_BUTTON_X2] = INPUT_BUTTON_EXTRA};
    struct sdl_window *own = find_window(sdl, event->windowID);
    uint8_t button = event->button < ARRAY_LEN(buttons) ? buttons[event->button] : 0;
    double scale;

    sdl->buttons =
        (uint8_t)(event->type == SDL_MOUSEBUTTONDOWN ? sdl->buttons | button : sdl->buttons & ~button);
    if (own) {
        scale = density(sdl, own->window);
        own->pane->ops->buttons(own->pane, sdl->buttons, (int)(event->x * scale), (int)(event->y * scale));
    }
}

static void handle_motion(struct sdl *sdl, const SDL_MouseMotionEvent *event)
{
    struct sdl_window *own = find_window(sdl, event->windowID);
    double scale;

    if (own) {
        scale = density(sdl, own->window);
        own->pane->ops->motion(own->pane, (int)(event->x * scale), (int)(event->y * scale), event->xrel,
                               event->yrel);
    }
}

static void handle_wheel(struct sdl *sdl, const SDL_MouseWheelEvent *event)
{
    struct sdl_window *own = find_window(sdl, event->windowID);

    if (own && event->y != 0) {
        own->pane->ops->wheel(own->pane, event->direction == SDL_MOUSEWHEEL_FLIPPED ? event->y : -event->y);
    }
}

static void handle(struct sdl *sdl, SDL_Event *event)
{
    struct sdl_window *own;

    switch (event->type) {
    case SDL_WINDOWEVENT:
        handle_window(sdl, &event->window);
        break;
    case SDL_KEYDOWN:
    case SDL_KEYUP:
        handle_key(sdl, &event->key);
        break;
    case SDL_TEXTINPUT:
        own = find_window(sdl, event->text.windowID);
        if (own) {
            own->pane->ops->text(own->pane, event->text.text);
        }
        break;
    case SDL_MOUSEMOTION:
        handle_motion(sdl, &event->motion);
        break;
    case SDL_MOUSEBUTTONDOWN:
    case SDL_MOUSEBUTTONUP:
        handle_button(sdl, &event->button);
        break;
    case SDL_MOUSEWHEEL:
        handle_wheel(sdl, &event->wheel);
        break;
    case SDL_DROPFILE:
        own = find_window(sdl, event->drop.windowID);
        if (own) {
            own->pane->ops->dropped(own->pane, event->drop.file);
        }
        sdl->call.free(event->drop.file);
        break;
    default:
        break;
    }
}

/* All that has come. Returns whether anything had. */
static bool handle_all(struct sdl *sdl)
{
    SDL_Event event;
    bool any = false;

    while (sdl->call.PollEvent(&event)) {
        handle(sdl, &event);
        any = true;
    }
    return any;
}

void sdl_wait(struct sdl *sdl, uint64_t timeout_ns)
{
    struct pollfd fds[] = {{.fd = sdl->bell, .events = POLLIN}, {.fd = sdl->connection, .events = POLLIN}};
    uint64_t wait = sdl->connection < 0 ? MIN(timeout_ns, BLIND_NS) : timeout_ns, count;
    struct timespec timeout = {.tv_sec = (time_t)(wait / NS_PER_SEC), .tv_nsec = (long)(wait % NS_PER_SEC)};

    if (handle_all(sdl)) { /* also what SDL has read already, which poll() would not see */
        return;
    }
    if (ppoll(fds, ARRAY_LEN(fds), wait == UINT64_MAX ? NULL : &timeout, NULL) > 0 && fds[0].revents) {
        ssize_t n = read(sdl->bell, &count, sizeof(count));

        (void)n; /* EAGAIN: there is nothing left to spend */
    }
    handle_all(sdl);
}

/* ---- life ---- */

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);

    return value && *value;
}

static int connect_display(struct sdl *sdl, struct error *error)
{
    if (!is_set("DISPLAY") && !is_set("WAYLAND_DISPLAY") && !is_set("SDL_VIDEODRIVER")) {
        return error_set(error, -ENODEV,
                         "-display sdl: there is no display server (DISPLAY is not set); "
                         "-display text and none need none");
    }
    set_hints(sdl);
    if (sdl->call.Init(SDL_INIT_VIDEO) < 0) {
        return error_set(
            error, -ENODEV,
            "-display sdl: cannot open a window: %.200s (-display text and none need no display server)",
            sdl->call.GetError());
    }
    sdl->initialised = true;
    sdl->call.StopTextInput();
    sdl->call.EventState(SDL_DROPFILE, SDL_ENABLE);
    sdl->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return sdl->bell >= 0 ? 0 : error_set(error, -errno, "-display sdl: %s", strerror(errno));
}

struct sdl *sdl_create(struct error *error)
{
    struct sdl *sdl = calloc(1, sizeof(*sdl));

    if (!sdl) {
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    sdl->bell = sdl->connection = -1;
    sdl->host = (struct host){.ops = &host_ops, .opaque = sdl};
    if (load(sdl, error) < 0 || connect_display(sdl, error) < 0) {
        sdl_destroy(sdl);
        return NULL;
    }
    return sdl;
}

void sdl_destroy(struct sdl *sdl)
{
    if (sdl->bell >= 0) {
        close(sdl->bell);
    }
    if (sdl->initialised) {
        sdl->call.Quit();
    }
    free(sdl); /* the library stays: what it depends on may have left things with the C library */
}

const struct host *sdl_host(struct sdl *sdl)
{
    return &sdl->host;
}
