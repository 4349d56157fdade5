"""Nested, stratified parts of a data set."""

from collections.abc import Mapping

import numpy as np

from transmamba_mm.errors import UserError


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """Order samples such that every prefix holds the classes in their true proportion.

    The images of a class are shuffled and laid out evenly on the unit interval, each class by
    itself; reading all classes from left to right gives the order.

    Args:
        labels (np.ndarray): (n,) class of each sample.
        seed (int): Seed of the shuffle.

    Returns:
        np.ndarray: (n,) a permutation of ``range(n)``.
    """
    rng = np.random.default_rng(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.argsort(place, kind='stable')


def take_fraction(order: np.ndarray, fraction: float) -> np.ndarray:
    """The first ``fraction`` of ``order``, at least one sample.

    Raises:
        UserError: If the fraction is outside (0, 1].
    """
    if not 0 < fraction <= 1:
        raise UserError(f'A fraction of the data is in (0, 1], not {fraction}.')
    return order[: max(1, round(fraction * len(order)))]


def stratified_part(labels: np.ndarray, counts: Mapping[str, int], name: str) -> np.ndarray:
    """One of several stratified parts that share no sample, always the same ones.

    Args:
        labels (np.ndarray): (n,) class of each sample.
        counts (Mapping[str, int]): Samples of each part, by its name, n at most in all.
        name (str): Which part.

    Returns:
        np.ndarray: (counts[name],) indices of its samples.
    """
    order = stratified_order(labels, seed=0)
    names = list(counts)
    first = sum(counts[before] for before in names[: names.index(name)])
    return order[first : first + counts[name]]


def check_fraction(split: str, fraction: float) -> None:
    """UserError for a fraction of images that validate or test."""
    if split in ('val', 'test') and fraction != 1:
        raise UserError(
            f'fraction={fraction:g} of the {split} images: only training data is subsampled; leave '
            'it at 1.'
        )
