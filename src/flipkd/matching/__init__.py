"""The saved artefact in use."""
