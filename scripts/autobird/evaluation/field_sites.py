"""The sites of field recordings, for false alarms by site or by kind of sound."""

from collections.abc import Sequence

from autobird.audio.headers import Header
from autobird.predict.origin import Origin, Places

MAX_SITES = 30
"""Largest number of sites that are reported one by one; with more, the folders directly below the root are reported."""

UNKNOWN_SITE = "unknown"
"""Name for recordings without a site."""


def sites_of(names: Sequence[str]) -> list[str]:
    """Return the site of each recording, as in the tables of `autobird predict` (`Places`).

    It is the folder of the recording, without dates and generic names such as `Data`, so that the nights of a recorder are one site; a
    folder of negatives of one kind, such as `rain`, is a site, too. A recording without such a folder has the text before the time in
    its name.

    Args:
        names: recordings, with their folders.
    """
    places = Places()
    sites = [places.of(Origin.of(name, Header())).site for name in names]
    if len(set(sites)) > MAX_SITES:
        sites = [site.split("/")[0] for site in sites]
    return [site or UNKNOWN_SITE for site in sites]
