"""Autobird: your own classifier of bird recordings, from recordings to an evaluated model."""
