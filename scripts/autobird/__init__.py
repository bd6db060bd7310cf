"""Autobird: your own classifier of bird recordings, from recordings to a released model and a server."""

import os

# ONNX Runtime (from 1.29), Evidently and W&B (also offline) report their use or their errors to their makers unless told
# not to before they are imported. Nothing that people do with their recordings is told to anybody.
for _name, _value in (("ORT_DISABLE_TELEMETRY", "1"), ("DO_NOT_TRACK", "1"), ("WANDB_ERROR_REPORTING", "false")):
    os.environ.setdefault(_name, _value)
