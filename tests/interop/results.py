"""What every check prints, and how it ends."""


def report(results):
    """Prints what differs of pairs (what was compared, whether it is equal) and how many there were.

    Returns the exit status of the check: 0 when there were any, and all are equal.
    """
    results = list(results)
    for what, equal in results:
        if not equal:
            print("DIFFER", what)
    equal_ones = sum(bool(equal) for _, equal in results)
    print(f"{equal_ones} of {len(results)} equal")
    return 0 if results and equal_ones == len(results) else 1
