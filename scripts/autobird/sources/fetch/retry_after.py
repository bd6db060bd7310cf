"""The delay that a server asks for before the next request."""

import email.utils
import time

_LONGEST_DELAY = 1e9
"""Upper limit of a delay that is read from Retry-After, seconds; a number of many digits would be infinite."""


def parse_retry_after(value: str | None) -> float:
    """Return the delay in seconds that a Retry-After header asks for (RFC 9110, section 10.2.3); 0 if it is not valid."""
    if not value:
        return 0.0
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return min(float(value), _LONGEST_DELAY)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0
