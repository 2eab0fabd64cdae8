"""Panels made of plain ipywidgets, which ask for no code: what they do, each also says as text that a person can run."""
