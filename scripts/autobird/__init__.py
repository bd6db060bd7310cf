"""Autobird: your own classifier of bird recordings, from recordings to a released model and a server."""

import os

# ONNX Runtime (from 1.29) and Evidently report their use to their makers unless told not to before they are imported.
# Nothing that people do with their recordings is told to anybody.
for _name in ("ORT_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
    os.environ.setdefault(_name, "1")
