"""Talking to the outside: deadlines, caps and foreign errors end here."""
