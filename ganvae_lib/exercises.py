"""Marks a reader's answer to an exercise: a number, or several, against the right ones."""

import numbers


def mark(yours, true, within: float = 0.0) -> str:
    """'right', 'not yet' or 'no answer yet'; of several numbers, one word each unless all are right.

    A number is right if |yours - true| ≤ within, up to rounding errors. `within` is half a unit or a unit of the last
    digit that the exercise asks for; 0 asks for the number itself. Whatever is no number is told so.

    Args:
      yours: None, a number (of Python, NumPy or `fractions`), or a list of them as long as `true`.
      true: the answer, in the same form.
      within: the greatest error that is still right, in the unit of the answer.
    """
    if not isinstance(true, (list, tuple)):
        return _one(yours, true, within)
    if yours is None:
        return "no answer yet"
    if not hasattr(yours, "__len__") or isinstance(yours, str) or len(yours) != len(true):
        return f"a list of {len(true)} numbers is asked for; got {yours!r}"
    words = [_one(y, t, within) for y, t in zip(yours, true, strict=True)]
    return words[0] if len(set(words)) == 1 else "not yet: " + ", ".join(words)


def _one(yours, true, within):
    if yours is None:
        return "no answer yet"
    if isinstance(yours, bool) or not isinstance(yours, numbers.Real):
        return f"a number is asked for; got {yours!r}"
    error = abs(float(yours) - float(true))
    return "right" if error <= within + 1e-9 * abs(float(true)) else "not yet"
