"""The manual, and the scripts that draw its pictures from the code."""
