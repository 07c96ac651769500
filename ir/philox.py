"""Numbers of the random generator that the interpreter and every kernel share.

Source:
    Salmon, Moraes, Dror & Shaw (2011), SC11: Philox4x32-10. Moshier, Cephes Mathematical Library: the polynomials of
    logf, sinf and cosf.
"""

from __future__ import annotations

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
LOG = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
"""Of log(1 + x) = x - x**2/2 + x**3 p(x) for sqrt(1/2) <= 1 + x < sqrt(2), highest power first."""
SIN = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
"""Of sin(x) = x + x**3 p(x**2) for |x| <= pi/4, highest power first."""
COS = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
"""Of cos(x) = 1 - x**2/2 + x**4 p(x**2) for |x| <= pi/4, highest power first."""
LOG2_LOW, LOG2_HIGH = -2.12194440e-4, 0.693359375
BELOW_ONE = 1 - 2.0**-24
