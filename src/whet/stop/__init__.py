"""Stoppers, one a file: values in, a decision with its reason out."""
