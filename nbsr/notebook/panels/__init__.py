"""Panels of plain ipywidgets, which ask for no code; what they do they also say, as text that a person can run."""
