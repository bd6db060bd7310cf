"""Print the request, install nothing, and succeed."""

import sys

print("pip: all packages are in this image; ignored:", *sys.argv[1:])
