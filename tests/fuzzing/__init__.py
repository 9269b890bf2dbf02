"""`make fuzz TARGET=webhook MINUTES=30`: bytes that nobody thought of, against what reads bytes."""
