"""FLOPs of our operators in closed form, from the shapes of their arguments."""

Shape = tuple[int, ...]


def scan_flops(x: Shape, delta: Shape, A: Shape, B: Shape, C: Shape, D: Shape | None, *rest) -> int:
    """Count a scan from the shapes of the operator's arguments; see ``ScanInputs``.

    With K directions, E channels and N states it takes, for each of B * L tokens::

        decay = exp(delta * A)             2 K E N
        state = decay * state + dx * B     3 K E N      with dx = delta * x      K E
        y = sum_n C * state                2 K E N
        y += D * x                                                             2 K E

    that is K E (7 N + 3) with a skip D.
    """
    K, E, N = A
    return x[0] * x[-2] * K * E * (7 * N + 1 + (2 if D is not None else 0))


def conv_macs(x: Shape, weight: Shape) -> int:
    """Count the products of K convolutions, x (B, L, E) and weight (K, E, W)."""
    batch, length, _ = x
    K, E, width = weight
    return batch * length * K * E * width
