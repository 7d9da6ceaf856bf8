/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The table of key names, and combinations such as ctrl-alt-delete.
 *
 * Names are those of QEMU's QKeyCode and the letters' own; a number is a scan code of set 1, 0xe0 before it as the upper byte.
 * The names of keys that no PC keyboard of the time has (Sun's, most of the media keys) are not known.
 */
#include "monitor/keys.h"

#include <errno.h>
#include <stdlib.h>

static const struct {
    const char *name;
    enum key key;
} keys[] = {
    {"esc", KEY_ESC},
    {"1", KEY_1},
    {"2", KEY_2},
    {"3", KEY_3},
    {"4", KEY_4},
    {"5", KEY_5},
    {"6", KEY_6},
    {"7", KEY_7},
    {"8", KEY_8},
    {"9", KEY_9},
    {"0", KEY_0},
    {"minus", KEY_MINUS},
    {"equal", KEY_EQUAL},
    {"backspace", KEY_BACKSPACE},
    {"tab", KEY_TAB},
    {"q", KEY_Q},
    {"w", KEY_W},
    {"e", KEY_E},
    {"r", KEY_R},
    {"t", KEY_T},
    {"y", KEY_Y},
    {"u", KEY_U},
    {"i", KEY_I},
    {"o", KEY_O},
    {"p", KEY_P},
    {"bracket_left", KEY_LEFT_BRACKET},
    {"bracket_right", KEY_RIGHT_BRACKET},
    {"ret", KEY_ENTER},
    {"ctrl", KEY_LEFT_CTRL},
    {"a", KEY_A},
    {"s", KEY_S},
    {"d", KEY_D},
    {"f", KEY_F},
    {"g", KEY_G},
    {"h", KEY_H},
    {"j", KEY_J},
    {"k", KEY_K},
    {"l", KEY_L},
    {"semicolon", KEY_SEMICOLON},
    {"apostrophe", KEY_APOSTROPHE},
    {"grave_accent", KEY_GRAVE},
    {"shift", KEY_LEFT_SHIFT},
    {"backslash", KEY_BACKSLASH},
    {"z", KEY_Z},
    {"x", KEY_X},
    {"c", KEY_C},
    {"v", KEY_V},
    {"b", KEY_B},
    {"n", KEY_N},
    {"m", KEY_M},
    {"comma", KEY_COMMA},
    {"dot", KEY_DOT},
    {"slash", KEY_SLASH},
    {"shift_r", KEY_RIGHT_SHIFT},
    {"kp_multiply", KEY_KP_MULTIPLY},
    {"asterisk", KEY_KP_MULTIPLY},
    {"alt", KEY_LEFT_ALT},
    {"spc", KEY_SPACE},
    {"caps_lock", KEY_CAPS_LOCK},
    {"f1", KEY_F1},
    {"f2", KEY_F2},
    {"f3", KEY_F3},
    {"f4", KEY_F4},
    {"f5", KEY_F5},
    {"f6", KEY_F6},
    {"f7", KEY_F7},
    {"f8", KEY_F8},
    {"f9", KEY_F9},
    {"f10", KEY_F10},
    {"num_lock", KEY_NUM_LOCK},
    {"scroll_lock", KEY_SCROLL_LOCK},
    {"kp_7", KEY_KP_7},
    {"kp_8", KEY_KP_8},
    {"kp_9", KEY_KP_9},
    {"kp_subtract", KEY_KP_MINUS},
    {"kp_4", KEY_KP_4},
    {"kp_5", KEY_KP_5},
    {"kp_6", KEY_KP_6},
    {"kp_add", KEY_KP_PLUS},
    {"kp_1", KEY_KP_1},
    {"kp_2", KEY_KP_2},
    {"kp_3", KEY_KP_3},
    {"kp_0", KEY_KP_0},
    {"kp_decimal", KEY_KP_DOT},
    {"sysrq", KEY_SYSRQ},
    {"less", KEY_102ND},
    {"f11", KEY_F11},
    {"f12", KEY_F12},
    {"hiragana", KEY_KATAKANA},
    {"katakanahiragana", KEY_KATAKANA},
    {"ro", KEY_RO},
    {"henkan", KEY_HENKAN},
    {"muhenkan", KEY_MUHENKAN},
    {"yen", KEY_YEN},
    {"kp_comma", KEY_KP_COMMA},
    {"kp_enter", KEY_KP_ENTER},
    {"ctrl_r", KEY_RIGHT_CTRL},
    {"audiomute", KEY_MUTE},
    {"volumedown", KEY_VOLUME_DOWN},
    {"volumeup", KEY_VOLUME_UP},
    {"kp_divide", KEY_KP_DIVIDE},
    {"print", KEY_PRINT_SCREEN},
    {"alt_r", KEY_RIGHT_ALT},
    {"pause", KEY_PAUSE},
    {"home", KEY_HOME},
    {"up", KEY_UP},
    {"pgup", KEY_PAGE_UP},
    {"left", KEY_LEFT},
    {"right", KEY_RIGHT},
    {"end", KEY_END},
    {"down", KEY_DOWN},
    {"pgdn", KEY_PAGE_DOWN},
    {"insert", KEY_INSERT},
    {"delete", KEY_DELETE},
    {"meta_l", KEY_LEFT_META},
    {"meta_r", KEY_RIGHT_META},
    {"menu", KEY_MENU},
    {"compose", KEY_MENU},
    {"power", KEY_POWER},
    {"sleep", KEY_SLEEP},
    {"wake", KEY_WAKE},
};

const char *keys_name(unsigned index)
{
    return index < ARRAY_LEN(keys) ? keys[index].name : NULL;
}

static bool find(const char *name, size_t length, enum key *key)
{
    char *end;
    unsigned long code;

    if (length == 1 && name[0] == '<') { /* QEMU's older spelling */
        *key = KEY_102ND;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (strlen(keys[i].name) == length && !strncmp(keys[i].name, name, length)) {
            *key = keys[i].key;
            return true;
        }
    }
    code = strncmp(name, "0x", 2) ? 0 : strtoul(name, &end, 16);
    *key = (enum key)code;
    return code > 0 && end == name + length && (code & 0xff) < 0x80 && (code <= 0x7f || code >> 8 == 0xe0);
}

int keys_parse(const char *text, enum key key[KEYS_AT_ONCE], struct error *error)
{
    int count = 0;

    for (size_t length;; text += length + 1) {
        length = strcspn(text, "-");
        if (count == KEYS_AT_ONCE) {
            return error_set(error, -EINVAL, "more than %d keys at once", KEYS_AT_ONCE);
        }
        if (!find(text, length, &key[count])) {
            return error_set(error, -EINVAL, "unknown key '%.*s' (such as a, ret, ctrl, f1, 0x1e)",
                             (int)MIN(length, (size_t)40), text);
        }
        count++;
        if (!text[length]) {
            return count;
        }
    }
}
