"""The model card and the HTML report of an artefact, from its files alone."""
