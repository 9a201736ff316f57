#!/bin/sh
# In a copy of the library, on a machine whose packages are the system's: makes Conan's package, and tests it.
set -e
conan create . -pr tests/consumer/conan/profile
