"""A small random number generator: Marsaglia's xorshift with 64 bits of state."""


cdef inline unsigned long long seeded(unsigned long long seed) noexcept nogil:
    """An initial state.  Never 0, because xorshift stays there."""
    return 0x9E3779B97F4A7C15ULL ^ (seed << 1)


cdef inline unsigned long long roll(unsigned long long *dice) noexcept nogil:
    """The next random number, 32 bits."""
    dice[0] ^= dice[0] << 13
    dice[0] ^= dice[0] >> 7
    dice[0] ^= dice[0] << 17
    return dice[0] >> 32
