"""The drift test: do current recordings differ from the recordings that the model was made with?"""
