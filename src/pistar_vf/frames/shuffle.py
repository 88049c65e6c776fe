"""A shuffle one can index: position → row for any position, without a permutation in memory.

A keyed bijection of [0, 2^k) restricted to [0, n) by walking its cycles. Every epoch has its own key, so the order
of training is a pure function of (seed, position) and resuming needs one integer.

References:
    Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002 (cycle walking of a Feistel network).
"""

from collections.abc import Sequence

import numpy as np

_ROUNDS = 6
_SHARE_UNIT = 2**20


def shuffled(position: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Maps positions of an endless sequence of shuffled epochs to rows.

    Args:
        position: int64, >= 0; position // n is the epoch.
        n: rows per epoch.
        seed: any integer; each (seed, epoch) is its own permutation.

    Returns:
        int64 rows in [0, n); within an epoch every row comes exactly once.
    """
    position = np.asarray(position, np.int64)
    epoch, value = position // n, (position % n).astype(np.uint64)
    half_bits = max(1, (int(n - 1).bit_length() + 1) // 2)
    keys = _round_keys(epoch, seed)
    value = _permute(value, keys, half_bits)
    outside = value >= n
    while outside.any():
        value[outside] = _permute(value[outside], keys[:, outside], half_bits)
        outside = value >= n
    return value.astype(np.int64)


def interleaved(position: np.ndarray, weights: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Deals an endless sequence of positions out to several streams, evenly and in fixed shares.

    Among any n positions in a row each stream has its share of n, give or take one per stream.

    Args:
        position: int64, in [0, 2^42).
        weights: share of each stream, above 0, in any unit.

    Returns:
        (stream, position in that stream) of each position; a stream's own positions come without gaps.
    """
    own = np.asarray(position, np.int64).copy()
    stream = np.full(own.shape, len(weights) - 1, np.int64)
    open_ones, rest = np.ones(own.shape, bool), float(sum(weights))
    for number, weight in enumerate(weights[:-1]):
        share = round(weight / rest * _SHARE_UNIT)  # whole numbers: no rounding, however long the run
        taken = own * share // _SHARE_UNIT
        takes = open_ones & ((own + 1) * share // _SHARE_UNIT > taken)
        stream[takes] = number
        own = np.where(takes, taken, np.where(open_ones, own - taken, own))
        open_ones &= ~takes
        rest -= weight
    return stream, own


def _round_keys(epoch: np.ndarray, seed: int) -> np.ndarray:
    """uint64 [rounds, positions]."""
    base = _mix(epoch.astype(np.uint64) + _mix(np.array([seed % 2**64], np.uint64)))
    return np.stack([_mix(base + np.uint64(round_number + 1)) for round_number in range(_ROUNDS)])


def _permute(value: np.ndarray, keys: np.ndarray, half_bits: int) -> np.ndarray:
    """One pass of a balanced Feistel network over 2 * half_bits bits."""
    bits, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    left, right = value >> bits, value & mask
    for key in keys:
        left, right = right, left ^ (_mix(right + key) & mask)
    return (left << bits) | right


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64: a bijection of 64 bits in which every input bit flips half of the output bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
