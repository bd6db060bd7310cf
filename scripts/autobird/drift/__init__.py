"""Is what the model hears today still like what it was trained on?"""
