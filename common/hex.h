/* Hex digits, both ways: one reading of them for all that takes or writes them. */
#ifndef COMMON_HEX_H
#define COMMON_HEX_H

/* What a digit of either case stands for; -1: it is none. */
static inline int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The digit of the low four bits. */
static inline char hex_digit(unsigned value)
{
    return "0123456789abcdef"[value & 15];
}

static inline char hex_digit_upper(unsigned value)
{
    return "0123456789ABCDEF"[value & 15];
}

#endif
