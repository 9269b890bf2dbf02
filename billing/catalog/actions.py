"""What applying a catalogue does with one thing that the file, the database and Stripe hold."""

from enum import StrEnum


class Action(StrEnum):
    KEEP = "keep"
    CREATE = "create"
    UPDATE = "update"
    LINK = "link"  # same amount, another or a first price at Stripe
    RESTORE = "restore"  # archived at Stripe, or without its lookup key
    REPLACE = "replace"  # another amount: a new price, and with it a new version of the plan
    ARCHIVE = "archive"
    CONFLICT = "conflict"  # a person must decide; nothing is applied
