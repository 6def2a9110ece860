"""The other Debian release."""
