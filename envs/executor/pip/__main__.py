"""Say what was asked for, install nothing, succeed."""

import sys

print("pip: this image is complete; not done:", *sys.argv[1:])
