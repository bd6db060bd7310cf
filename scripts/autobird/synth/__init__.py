"""The demo corpus: synthetic bird recordings, written as real audio files."""
