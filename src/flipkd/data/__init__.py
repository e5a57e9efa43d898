"""Pairs from files and data sets: reading, checking, and splitting without a text on both sides."""
